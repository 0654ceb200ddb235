"""The parts of accelerator.py that run programs in their own process: layers, scores, images.

What a part needs is imported in it, so a missing package ends only that part.
"""

import argparse
import functools
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from accelerator_job import CONFIG, Figures, Job, common

SAMPLE_RATE = 16000

Arrays = Mapping[str, np.ndarray]
Pairs = Sequence[tuple[np.ndarray, np.ndarray]]


def seconds(call: Callable[[], object]) -> float:
    """Returns the seconds that a call takes."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def start_layers() -> None:
    """Prepares jax and PyTorch for full float32, both on this process's device."""
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # leaves memory to PyTorch
    import layers

    layers.start(os.cpu_count() or 1)


def recurrent(job: Job) -> None:
    """Reports G's two BLSTMs by jaxgan and by PyTorch, in full float32."""
    start_layers()
    for name in ("blstm-ragged", "blstm"):
        job.attempt(name, of_layers, job, name)


def of_layers(job: Job, name: str) -> Figures:
    """Returns compile seconds, times and errors of a case.

    Compiling takes most of the time, so its seconds are reported as soon as they are known.
    """
    import layers

    case = layers.make(name, *job.sized((8, 500), (2, 30)))
    ours = layers.of_jaxgan(case)
    figures: Figures = {}
    for part in ("forward", "backward"):
        figures[f"{part}, compile s"] = seconds(getattr(ours, part))
        job.report(name, figures)
    errors = layers.agreement(case, ours)
    for part, times in layers.measure(case, ours, job.sized(11, 2)).items():
        (clock, _), (torch_clock, _) = times.tolist()
        figures |= {f"{part} ms": clock, f"{part} ms, torch": torch_clock}
        figures[f"{part} error"], figures[f"{part} error, torch"] = errors[part]
    return figures


def convolutions(job: Job) -> None:
    """Reports D's convolutions for 24 images, and the whole D beside PyTorch."""
    from jaxgan.core import devices

    devices.start()
    sizes = job.sized((24, 250, 11), (2, 40, 2))
    for name in ("as in training", "last, bfloat16", "last, bfloat16, padded to 16"):
        job.attempt(name, of_convolutions, name, *sizes)
    job.attempt("discriminator", of_discriminator, *sizes)


def of_convolutions(name: str, images: int, frames: int, repeats: int) -> Figures:
    """Returns the times of D's four convolutions, added up and by layer."""
    import convolutions as benchmark

    shapes = benchmark.layers_of("small", frames)
    way = benchmark.WAYS.get(name)
    times = [benchmark.measured(way, shape, images, repeats) for shape in shapes]
    forward, both = map(sum, zip(*times, strict=True))
    return {"forward ms": forward, "with backward ms": both, "by layer": times}


def of_discriminator(images: int, frames: int, repeats: int) -> Figures:
    """Returns the figures of the whole D in jaxgan and in PyTorch."""
    start_layers()
    import layers

    rows = layers.rows_of("discriminator", images, frames, repeats)
    return {
        row["part"]: {name: value for name, value in row.items() if "CPU" not in name}
        for row in rows
    }


def enhancement(job: Job) -> None:
    """Reports how many times faster than real time an untrained G enhances 64 x 4 s.

    The copies from and to the host are included.
    """
    import jax

    from jaxgan.core import config as configs
    from jaxgan.core import devices
    from jaxgan.speech.enhancer import Enhancer
    from jaxgan.speech.networks import masking

    devices.prepare()
    spec = CONFIG + job.sized("", ":tiny")
    config = configs.load(spec, job.overrides)
    network = masking.make_masking(config)
    variables = jax.jit(lambda key: masking.init_generator(network, key))(jax.random.key(0))
    denoiser = masking.make_denoiser(config)
    enhance = Enhancer(config, denoiser, variables["params"], devices.make_mesh())
    waves, samples = job.sized((64, 4 * SAMPLE_RATE), (4, SAMPLE_RATE))
    noisy = np.random.default_rng(0).normal(0, 0.1, (waves, samples)).astype(np.float32)
    lengths = np.full(waves, samples)
    first, *times = (seconds(lambda: enhance(noisy, lengths)) for _ in range(6))
    real = waves * samples / SAMPLE_RATE
    job.report("compile s", first)
    job.report("times real time", real / statistics.median(times))


def scores(job: Job) -> None:
    """Reports PESQ and STOI on the device beside the packages: differences and time."""
    import scores as benchmark

    from jaxgan.core import devices

    devices.prepare()
    sets = benchmark.make_mixtures(Path(job.speech), Path(job.noise), job.sized(60, 6))
    if job.pairs:
        sets["pairs"] = benchmark.first_pairs(benchmark.read_pairs(Path(job.pairs))[0], 16)
    longest, most = 4 * SAMPLE_RATE, job.sized(64, 6)
    pairs = [
        (clean[:longest], noisy[:longest])
        for of_set in reversed(sets.values())
        for clean, noisy in of_set.values()
    ]
    for name in ("pesq_wb", "stoi"):
        job.attempt(name, of_score, job, name, pairs[:most])


def of_score(job: Job, name: str, pairs: Pairs) -> Figures:
    """Returns the figures of one score on pairs of different lengths, float32 [n] at 16 kHz."""
    import scores as benchmark

    import jaxgan.scores
    from jaxgan.scores import device

    package, values = jaxgan.scores.get(name), np.zeros(len(pairs))
    begin = time.perf_counter()
    for number, pair in enumerate(pairs):
        values[number] = package(*pair, SAMPLE_RATE)
    spent = time.perf_counter() - begin
    audio = sum(len(clean) for clean, _ in pairs) / SAMPLE_RATE
    figures: Figures = {"pairs": len(pairs), "package, ms per audio second": 1e3 * spent / audio}
    job.report(name, figures)
    delays = benchmark.package_delays(name, SAMPLE_RATE, pairs)
    for size in job.sized((32, 256), (2, 4)):
        chosen = [pairs[number % len(pairs)] for number in range(size)]
        begin = time.perf_counter()
        compiled, arrays = benchmark.on_all_devices(getattr(device, name), chosen)
        figures[f"batch {size}, compile s"] = time.perf_counter() - begin
        found = np.asarray(compiled(*arrays))[: len(pairs)]
        times = [benchmark.time_call(compiled, *arrays)[0] for _ in range(job.sized(11, 2))]
        audio = sum(len(clean) for clean, _ in chosen) / SAMPLE_RATE
        figures[f"batch {size}, ms per audio second"] = 1e3 * float(np.median(times)) / audio
        for delay in sorted(set(delays[: len(found)])):
            rows = np.flatnonzero(delays[: len(found)] == delay)
            title = f"batch {size}, {len(rows)} pairs with the package's delay {delay}"
            errors = np.abs(found[rows] - values[rows])
            figures[f"{title}, largest difference"] = float(np.nanmax(errors))
        job.report(name, figures)
    return figures


def torch_loops(job: Job) -> None:
    """Reports a round of jaxgan and of the two loops in PyTorch, on the same data."""
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # leaves memory to PyTorch
    import against_torch

    from jaxgan.core import config as configs

    few = job.sized(100, 4)
    flags = [*common(job), f"--config.utterances_per_round={few}", *job.overrides]
    config = configs.load(CONFIG + job.sized("", ":tiny"), flags)
    options = argparse.Namespace(rounds=1, warmup=0, replayed=0, threads=os.cpu_count())

    def report(_: int, name: str, row: Mapping[str, Any]) -> None:
        job.report(name, {figure: value for figure, value in row.items() if "CPU" not in figure})

    against_torch.compare(config, options, report)


def images(job: Job) -> None:
    """Reports the images a second of the fully connected GAN and of DCGAN, beside PyTorch."""
    systems(job, "mlp", "dcgan")


def translation(job: Job) -> None:
    """Reports the images a second of pix2pix and CycleGAN, beside PyTorch."""
    systems(job, "pix2pix", "cyclegan")


def systems(job: Job, *names: str) -> None:
    """Reports the images a second of systems of images in float32 and bfloat16, beside PyTorch."""
    import images as benchmark

    from jaxgan.core import devices

    devices.start()
    options = image_options(job)
    of_torch, make_torch = benchmark.open_torch(options.threads)
    job.report("torch", of_torch)
    cases = {
        name: functools.partial(benchmark.beside_torch, name, make_torch, options) for name in names
    }
    follow_all(job, cases)


def seeds(job: Job) -> None:
    """Reports the time of eight seeds in one program over that of one.

    The systems are the GAN of points, the fully connected GAN, and DQN on CartPole.
    """
    import control_speed
    import images as benchmark
    import turns

    from jaxgan.core import devices

    devices.start()
    options = image_options(job)

    def dqn(count: int) -> Any:
        config = control_speed.config_of("dqn", count)
        if job.rehearse:
            config.steps_per_round, config.learning_starts = 200, 100
        return config

    cases = {
        name: functools.partial(benchmark.of_seeds, name, options) for name in benchmark.SEEDED
    }
    cases["dqn"] = functools.partial(turns.seeds_beside_one, dqn, options.repeats)
    follow_all(job, cases)


def image_options(job: Job) -> argparse.Namespace:
    """Returns the options of images.py for a part."""
    import images as benchmark

    dtypes = ",".join(benchmark.DTYPES)
    return benchmark.parse([f"--dtypes={dtypes}", *job.sized([], ["--rehearse"])])


def follow_all(job: Job, cases: Mapping[str, Callable[[float], Iterator[Figures]]]) -> None:
    """Measures one case after the other, and shares the time that is left among them.

    Args:
        job: of the part.
        cases: by name, functions of the moment when to stop, in seconds of time.perf_counter.
    """
    for place, (name, measure) in enumerate(cases.items()):
        share = (job.end - time.monotonic()) / (len(cases) - place)
        job.follow(name, measure(time.perf_counter() + share))
