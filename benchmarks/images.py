"""Measures training steps of systems of images, and the same loop in plain PyTorch.

    python benchmarks/images.py [--json=FILE] [--minutes=1.4] [--batch=64] [--repeats=5]
        [--parts=mlp,dcgan,seeds] [--dtypes=float32] [--threads=N]
    python benchmarks/images.py --rehearse

Parts:
    mlp       configs/gan.py, fully connected networks
    dcgan     configs/dcgan.py, the paper's convolutional networks on 28 x 28
    pix2pix, cyclegan   configs/pix2pix.py and configs/cyclegan.py on 28 x 28; on a CPU the presets
              `quick` with their batches, else the paper's networks. They are measured if --parts
              names them. A batch has as many images of both domains, which count once
    seeds     the time of config.seeds=8 over that of config.seeds=1, for the ring and for mlp

jaxgan makes whole rounds as train.py does, without validation: drawing the batches, the steps, and
fetching the metrics. PyTorch's loop (torch_images.py, torch_translation.py) makes the same updates
on the same number of parameters; the two take turns, and medians are reported. Compilation is not
in the figures, and its time is shown. --dtypes=float32,bfloat16 measures the networks in both, also
PyTorch's. Without PyTorch its figures are replaced by a reason. --minutes limits everything; a
measurement that would exceed it makes fewer repeats. FILE is written after every turn. `--rehearse`
runs everything in miniature.

The script runs from a source tree (PYTHONPATH=.) and needs no network; accelerator.py says which
packages a machine may lack, and runs the same measurements on a card that is available for minutes.
"""

import argparse
import functools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import turns
from accelerator_job import reason
from ml_collections import ConfigDict
from turns import Figures, Loop, Times

from jaxgan.core import config as configs
from jaxgan.core import devices

ROOT = Path(__file__).parents[1]
PARTS = ("mlp", "dcgan", "pix2pix", "cyclegan", "seeds")
TRANSLATIONS = ("pix2pix", "cyclegan")
SEEDED = ("ring", "mlp")
"""The systems that the part `seeds` trains."""
DTYPES = ("float32", "bfloat16")
TARGETS = {
    "cpu": {"mlp": 1.5, "dcgan": 0.8},
    "gpu": {"mlp": 3.0, "dcgan": 3.0, "pix2pix": 2.0, "cyclegan": 2.0, "seeds": 2.0},
}
"""The targets: at least this many times PyTorch's images a second; on a GPU, at most this many
times the time of one seed for eight."""
STEPS = {
    "cpu": {
        "mlp": (200, 200),
        "dcgan": (2, 2),
        "pix2pix": (20, 20),
        "cyclegan": (10, 10),
        "ring": (200, 0),
    },
    "gpu": {
        "mlp": (2000, 300),
        "dcgan": (200, 100),
        "pix2pix": (50, 30),
        "cyclegan": (20, 10),
        "ring": (2000, 0),
    },
}
"""Steps of a repeat, of jaxgan and of PyTorch: about a second each."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints a table, and writes JSON if asked. Returns the exit status."""
    started = time.perf_counter()
    options = parse(arguments)
    devices.start()
    platform = jax.default_backend()
    of_torch, make_torch = open_torch(options.threads)
    figures: Figures = {
        "jaxgan on": jax.devices()[0].device_kind,
        "jax": jax.__version__,
        "CPU cores": os.cpu_count(),
        "batch": options.batch,
        "rehearsal": options.rehearse,
        "torch": of_torch,
    }
    cases: dict[str, Callable[[float], Iterator[Figures]]] = {
        part: functools.partial(beside_torch, part, make_torch, options)
        for part in options.parts
        if part != "seeds"
    }
    if "seeds" in options.parts:
        cases |= {f"seeds: {name}": functools.partial(of_seeds, name, options) for name in SEEDED}
    deadline = started + 60 * options.minutes
    for place, (name, measure) in enumerate(cases.items()):
        now = time.perf_counter()
        for found in measure(now + (deadline - now) / (len(cases) - place)):
            figures[name] = found
            write(options.json, figures)
    figures["seconds of everything"] = time.perf_counter() - started
    figures["targets"] = TARGETS.get(platform, TARGETS["gpu"])
    write(options.json, figures)
    print("\n".join(lines(figures)))
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Returns the options; `parts` in their order."""
    description = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--minutes", type=float, default=1.4, help="for everything (default 1.4)")
    parser.add_argument("--batch", type=int, default=64, help="default 64")
    parser.add_argument("--repeats", type=int, default=5, help="at most (default 5)")
    parser.add_argument("--parts", default="mlp,dcgan,seeds", help=f"of {','.join(PARTS)}")
    parser.add_argument("--dtypes", default="float32", help=f"of {','.join(DTYPES)}")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of PyTorch")
    parser.add_argument("--rehearse", action="store_true", help="everything tiny, on any machine")
    options = parser.parse_args(arguments)
    for flag, known in (("parts", PARTS), ("dtypes", DTYPES)):
        chosen = getattr(options, flag).split(",")
        for wrong in sorted(set(chosen) - set(known)):
            parser.error(f"--{flag}={wrong}: choose from {', '.join(known)}")
        setattr(options, flag, [each for each in known if each in chosen])
    if options.rehearse:
        options.repeats = 1
    return options


def open_torch(threads: int) -> tuple[Figures, Callable[..., Any] | None]:
    """Returns figures that describe PyTorch, and the function that makes its loop.

    If PyTorch is missing, or cannot use the GPU that jax uses, the figures give the reason, and the
    function is None.
    """
    on_gpu = jax.default_backend() != "cpu"
    try:
        import torch
        import torch_images
        import torch_translation
    except (ImportError, OSError) as error:  # it can be installed without its libraries
        return {"reason": reason(error)}, None
    torch.set_num_threads(threads)
    if on_gpu and not torch.cuda.is_available():
        return {"reason": f"torch {torch.__version__} sees no GPU"}, None
    device = torch_images.place(on_gpu)

    def make(config: ConfigDict, values: Any) -> Any:
        if config.recipe in TRANSLATIONS:
            return torch_translation.TorchTranslation(config, values, device)
        return torch_images.TorchGAN(config, values, device)

    return {"version": torch.__version__, "device": str(device), "threads": threads}, make


def steps_of(name: str, options: argparse.Namespace) -> tuple[int, int]:
    """Returns the steps of a turn, of jaxgan and of PyTorch."""
    if options.rehearse:
        return 3, 3
    return STEPS["cpu" if jax.default_backend() == "cpu" else "gpu"][name]


def config_of(
    name: str, options: argparse.Namespace, seeds: int = 1, dtype: str = "float32"
) -> ConfigDict:
    """Returns the config of a system, whose round is a turn."""
    config = (
        translation_config(name, options) if name in TRANSLATIONS else gan_config(name, options)
    )
    config.steps_per_round, config.dtype = steps_of(name, options)[0], dtype
    if seeds > 1:
        config.seeds = seeds
    return config


def gan_config(name: str, options: argparse.Namespace) -> ConfigDict:
    """Returns the config of a GAN: mlp, dcgan or ring."""
    spec = {"mlp": "gan.py", "dcgan": "dcgan.py", "ring": "gan.py:ring"}[name]
    config = configs.load(str(ROOT / "configs" / spec))
    config.data.train, config.data.valid = 4000, 100
    if name != "ring":
        config.batch_size = options.batch
    if options.rehearse:
        config.batch_size, config.data.train = 8, 200
        for player in (config.generator, config.discriminator):
            player.update({"features": 2} if name == "dcgan" else {"widths": (16,)})
    return config


def translation_config(name: str, options: argparse.Namespace) -> ConfigDict:
    """Returns the config of a translation."""
    on_cpu = jax.default_backend() == "cpu"
    preset = ":tiny" if options.rehearse else ":quick" if on_cpu else ""
    config = configs.load(str(ROOT / "configs" / f"{name}.py{preset}"))
    config.data.enlarge, config.data.flip = 1.0, False
    if not options.rehearse:
        config.data.train, config.data.valid = 4000, 100
    if not (options.rehearse or on_cpu):
        config.batch_size = options.batch
        if name == "cyclegan":
            config.pool = options.batch
    return config


def beside_torch(
    name: str,
    make_torch: Callable[..., Any] | None,
    options: argparse.Namespace,
    limit: float,
) -> Iterator[Figures]:
    """Compares the images a second of jaxgan with those of PyTorch, in every dtype.

    jaxgan's turn comes first, so its figures are known even if PyTorch fails.

    Args:
        name: of the system.
        make_torch: see `open_torch`.
        options: the dtypes, sizes and repeats.
        limit: for the turns, in seconds of time.perf_counter.

    Yields:
        The figures so far: after compilation, and after each turn.

    Raises:
        RuntimeError: PyTorch's networks have another number of parameters.
    """
    loops = {dtype: Loop(config_of(name, options, dtype=dtype)) for dtype in options.dtypes}
    first, steps = loops[options.dtypes[0]], steps_of(name, options)
    found: Figures = {
        "parameters": first.parameters(),
        "batch": first.config.batch_size,
        "steps of a turn": list(steps),
        "seconds of the first rounds, with compilation": turns.warm(loops.values()),
    }
    yield found
    calls: dict[tuple[str, str], Callable[[], object]] = {
        ("jaxgan", dtype): loop.round for dtype, loop in loops.items()
    }
    images = dict(
        zip(("jaxgan", "torch"), (n * first.config.batch_size for n in steps), strict=True)
    )
    for times in turns.take_turns(calls, 1, limit):
        yield found | rates(times, images)
    if make_torch:
        for dtype, loop in loops.items():
            theirs = make_torch(loop.config, resident(loop))
            if theirs.parameters() != first.parameters():
                raise RuntimeError(f"PyTorch's networks have {theirs.parameters()} parameters")
            theirs.steps(max(2, steps[1] // 20))
            calls["torch", dtype] = functools.partial(theirs.steps, steps[1])
    for times in turns.take_turns(calls, options.repeats, limit):
        yield found | rates(times, images)


def resident(loop: Loop) -> Any:
    """Returns the data of a loop: an array, or those of both domains."""
    images = loop.recipe._shared[0]
    translates = loop.config.recipe in TRANSLATIONS
    return jax.device_get([images.a, images.b] if translates else images.values)


def rates(
    times: Mapping[tuple[str, str], Sequence[Times]], images: Mapping[str, int]
) -> dict[str, Figures]:
    """Returns medians over turns, by dtype.

    Args:
        times: of the turns, by "jaxgan" or "torch" and by dtype.
        images: how many a turn trains on, by the same name.

    Returns:
        Images a second, CPU seconds, and jaxgan's images a second over PyTorch's in the same dtype
        and in float32.
    """
    rate = {key: [images[key[0]] / each.wall for each in rows] for key, rows in times.items()}
    found: dict[str, Figures] = {}
    for (loop, dtype), rows in times.items():
        found.setdefault(dtype, {}).update(
            {
                f"{loop}: images / s": statistics.median(rate[loop, dtype]),
                f"{loop}: repeats": rate[loop, dtype],
                f"{loop}: CPU s of 1,000 images": statistics.median(
                    1000 * each.cpu / images[loop] for each in rows
                ),
            }
        )
    for dtype, row in found.items():
        titles = {"float32": "times PyTorch in float32", dtype: "times PyTorch"}
        for other, title in titles.items():
            if ("torch", other) in rate:
                pairs = zip(rate["jaxgan", dtype], rate["torch", other], strict=True)
                row[title] = statistics.median(ours / theirs for ours, theirs in pairs)
    return found


def of_seeds(name: str, options: argparse.Namespace, limit: float) -> Iterator[Figures]:
    """Compares several seeds of a system with one; see `turns.seeds_beside_one`."""
    make_config = functools.partial(config_of, name, options)
    return turns.seeds_beside_one(make_config, options.repeats, limit)


def write(path: Path | None, figures: Figures) -> None:
    """Writes the figures so far."""
    if path:
        path.write_text(json.dumps(figures, indent=1) + "\n")


def lines(figures: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Returns the figures as text, one a line; repeats are only in the file."""
    found: list[str] = []
    for name, value in figures.items():
        if isinstance(value, Mapping):
            found += lines(value, f"{prefix}{name}: ")
        elif not isinstance(value, list):
            found.append(f"{prefix}{name}: {f'{value:.4g}' if isinstance(value, float) else value}")
    return found


if __name__ == "__main__":
    sys.exit(main())
