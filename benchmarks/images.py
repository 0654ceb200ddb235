"""Measures training steps of systems of images, and the same loop in plain PyTorch.

    python benchmarks/images.py [--json=FILE] [--minutes=1.4] [--batch=64] [--repeats=5]
        [--parts=mlp,dcgan,seeds] [--threads=N]
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
in the figures, and its time is shown. Without PyTorch its figures are replaced by a reason.
--minutes limits everything; a measurement that would exceed it makes fewer repeats. FILE is written
after every part. `--rehearse` runs everything in miniature.

The script runs from a source tree (PYTHONPATH=.) and needs no network; accelerator.py says which
packages a machine may lack.
"""

import argparse
import functools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

# PyTorch and jax share a GPU, and idle threads of PyTorch must not take a CPU from jax.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxgan import recipes
from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.core.timer import Timer

ROOT = Path(__file__).parents[1]
SEEDS = 8
PARTS = ("mlp", "dcgan", "pix2pix", "cyclegan", "seeds")
TRANSLATIONS = ("pix2pix", "cyclegan")
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

Figures = dict[str, Any]


class Loop:
    """jaxgan's rounds of a config.

    Args:
        config: the config of the run.
    """

    def __init__(self, config: ConfigDict) -> None:
        self.config = config
        self.recipe: Any = recipes.make(config, devices.make_mesh(1))
        self.state = self.recipe.init(jax.random.key(config.seed))
        self.rounds = 0

    def parameters(self) -> int:
        """Returns how many parameters the networks of one seed have."""
        leaves = jax.tree.leaves([player.params for player in self.state.players.values()])
        return sum(leaf.size for leaf in leaves) // self.config.get("seeds", 1)

    def round(self) -> None:
        """Trains for a round and waits for it."""
        self.rounds += 1
        self.state, _, metrics = self.recipe.round(self.state, (), self.rounds, Timer())
        jax.block_until_ready(self.state)
        assert all(map(np.isfinite, metrics.values()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints a table, and writes JSON if asked. Returns the exit status."""
    started = time.perf_counter()
    options = parse(arguments)
    devices.start()
    platform = jax.default_backend()
    figures: Figures = {
        "jaxgan on": jax.devices()[0].device_kind,
        "jax": jax.__version__,
        "CPU cores": os.cpu_count(),
        "batch": options.batch,
        "rehearsal": options.rehearse,
    }
    torch = import_torch(options.threads, platform, figures)
    steps = STEPS["cpu" if platform == "cpu" else "gpu"]
    if options.rehearse:
        steps = {name: (3, 3 if pair[1] else 0) for name, pair in steps.items()}
    loops = warm(wanted(options, steps), figures)
    deadline = started + 60 * options.minutes
    for place, part in enumerate(options.parts):
        now = time.perf_counter()
        limit = now + (deadline - now) / (len(options.parts) - place)
        if part == "seeds":
            figures[part] = {
                name: seeds_beside_one(loops[name, 1], loops[name, SEEDS], options, limit)
                for name in ("ring", "mlp")
            }
        else:
            figures[part] = beside_torch(loops[part, 1], torch, steps[part], options, limit)
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
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of PyTorch")
    parser.add_argument("--rehearse", action="store_true", help="everything tiny, on any machine")
    options = parser.parse_args(arguments)
    chosen = options.parts.split(",")
    for wrong in sorted(set(chosen) - set(PARTS)):
        parser.error(f"--parts={wrong}: choose from {', '.join(PARTS)}")
    options.parts = [part for part in PARTS if part in chosen]
    if options.rehearse:
        options.repeats = 1
    return options


def import_torch(threads: int, platform: str, figures: Figures) -> Callable[..., Any] | None:
    """Returns the function that makes PyTorch's loop; without PyTorch None, with a reason."""
    try:
        import torch
        import torch_images
        import torch_translation
    except ModuleNotFoundError as error:
        figures["torch"] = {"reason": f"the package {error.name} is not installed"}
        return None
    torch.set_num_threads(threads)
    if platform != "cpu" and not torch.cuda.is_available():
        figures["torch"] = {"reason": f"torch {torch.__version__} sees no GPU"}
        return None
    device = torch_images.place(platform != "cpu")
    figures["torch"] = {"version": torch.__version__, "device": str(device), "threads": threads}

    def make(config: ConfigDict, values: Any) -> Any:
        if config.recipe in TRANSLATIONS:
            return torch_translation.TorchTranslation(config, values, device)
        return torch_images.TorchGAN(config, values, device)

    return make


def wanted(
    options: argparse.Namespace, steps: Mapping[str, tuple[int, int]]
) -> dict[tuple[str, int], ConfigDict]:
    """Returns the configs to measure, by name and number of seeds."""
    names = [(part, 1) for part in options.parts if part != "seeds"]
    if "seeds" in options.parts:
        names += [(name, seeds) for name in ("ring", "mlp") for seeds in (1, SEEDS)]
    return {
        (name, seeds): config_of(name, seeds, steps[name][0], options)
        for name, seeds in dict.fromkeys(names)
    }


def config_of(name: str, seeds: int, steps: int, options: argparse.Namespace) -> ConfigDict:
    """Returns the config of a system; its rounds have this many steps."""
    if name in TRANSLATIONS:
        return translation_config(name, steps, options)
    spec = {"mlp": "gan.py", "dcgan": "dcgan.py", "ring": "gan.py:ring"}[name]
    config = configs.load(str(ROOT / "configs" / spec))
    config.steps_per_round, config.seeds = steps, seeds
    config.data.train, config.data.valid = 4000, 100
    if name != "ring":
        config.batch_size = options.batch
    if options.rehearse:
        config.batch_size, config.data.train = 8, 200
        for player in (config.generator, config.discriminator):
            player.update({"features": 2} if name == "dcgan" else {"widths": (16,)})
    return config


def translation_config(name: str, steps: int, options: argparse.Namespace) -> ConfigDict:
    """Returns the config of a translation; its rounds have this many steps."""
    on_cpu = jax.default_backend() == "cpu"
    config = configs.load(str(ROOT / "configs" / f"{name}.py{':quick' * on_cpu}"))
    config.steps_per_round = steps
    config.data.train, config.data.valid = 4000, 100
    config.data.enlarge, config.data.flip = 1.0, False
    if not on_cpu:
        config.batch_size = options.batch
        if name == "cyclegan":
            config.pool = options.batch
    if options.rehearse:
        config.data.train = 200
        config.generator.features = config.discriminator.features = 2
    return config


def warm(
    wanted: Mapping[tuple[str, int], ConfigDict], figures: Figures
) -> dict[tuple[str, int], Loop]:
    """Returns the loops after a round each, which compiles their programs at the same time."""
    began = time.perf_counter()
    loops = {key: Loop(config) for key, config in wanted.items()}
    made = time.perf_counter()
    with ThreadPoolExecutor() as pool:
        list(pool.map(Loop.round, loops.values()))
    figures["seconds of data and initial states"] = made - began
    figures["seconds of the first rounds, with compilation"] = time.perf_counter() - made
    return loops


def beside_torch(
    ours: Loop,
    make_torch: Callable[..., Any] | None,
    steps: tuple[int, int],
    options: argparse.Namespace,
    limit: float,
) -> Figures:
    """Returns images a second of both loops, their CPU seconds, and jaxgan's over PyTorch's."""
    size = ours.config.batch_size
    found: Figures = {"parameters": ours.parameters(), "steps of a repeat": list(steps)}
    measures: dict[str, tuple[Callable[[], Any], float]] = {"jaxgan": (ours.round, steps[0] * size)}
    if make_torch:
        images = ours.recipe._shared[0]
        translates = ours.config.recipe in TRANSLATIONS
        resident = jax.device_get([images.a, images.b] if translates else images.values)
        theirs = make_torch(ours.config, resident)
        if theirs.parameters() != ours.parameters():
            raise RuntimeError(f"PyTorch's networks have {theirs.parameters()} parameters")
        theirs.steps(max(2, steps[1] // 20))
        measures["torch"] = (lambda: theirs.steps(steps[1]), steps[1] * size)
    spent: dict[str, list[float]] = {name: [] for name in measures}

    def on_cpu(name: str) -> None:
        before = time.process_time()
        measures[name][0]()
        spent[name].append(1000 * (time.process_time() - before) / measures[name][1])

    calls = {name: functools.partial(on_cpu, name) for name in measures}
    times = take_turns(calls, options.repeats, limit)
    rates = {name: [measures[name][1] / took for took in times[name]] for name in times}
    found |= {f"{name}: images / s": statistics.median(rate) for name, rate in rates.items()}
    found |= {f"{name}: repeats": rate for name, rate in rates.items()}
    found |= {
        f"{name}: CPU s of 1,000 images": statistics.median(each) for name, each in spent.items()
    }
    if make_torch:
        pairs = zip(rates["jaxgan"], rates["torch"], strict=True)
        found["times PyTorch"] = statistics.median(one / other for one, other in pairs)
    return found


def seeds_beside_one(
    one: Loop, several: Loop, options: argparse.Namespace, limit: float
) -> Figures:
    """Returns the seconds of a round of one seed and of several, and their ratio."""
    limit = time.perf_counter() + (limit - time.perf_counter()) / 2
    times = take_turns({"1": one.round, str(SEEDS): several.round}, options.repeats, limit)
    ratios = [more / less for less, more in zip(times["1"], times[str(SEEDS)], strict=True)]
    return {
        "steps of a round": one.config.steps_per_round,
        "batch": one.config.batch_size,
        **{f"seeds={n}: seconds of a round": statistics.median(t) for n, t in times.items()},
        f"time of {SEEDS} seeds over that of one": statistics.median(ratios),
        "repeats": ratios,
    }


def take_turns(
    calls: Mapping[str, Callable[[], Any]], repeats: int, limit: float
) -> dict[str, list[float]]:
    """Returns the seconds of every call of each function, at least one, until the limit."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(repeats):
        began = time.perf_counter()
        for name, call in calls.items():
            before = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - before)
        now = time.perf_counter()
        if now + (now - began) > limit and number + 1 < repeats:
            break
    return times


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
