"""Times BLSTM and discriminators, forward and backward, in jaxgan and in PyTorch.

    pip install -e ".[benchmarks]"
    python benchmarks/layers.py [--batch=8] [--frames=250] [--cores=2] [--only=NAME ...]
        [--repeats=11] [--json=FILE]

Both compute the same float32 function of the same parameters and inputs, alternately, each on
`--cores` cores (jaxgan as in training, with the batch divided over them; PyTorch with as many
threads) or on the GPU. "forward" computes the outputs, "and backward" also the gradients with
respect to all parameters and the input. In the cases "-ragged" the utterances have different
lengths. PyTorch's LSTM on a GPU is cuDNN's. CPU seconds are those of all threads of the process. On
a busy machine set OMP_WAIT_POLICY=passive, so that PyTorch's threads do not spend CPU time waiting
for each other. On a GPU set XLA_PYTHON_CLIENT_PREALLOCATE=false, so that both have memory.

The results are compared as well: the largest error of outputs and of gradients, relative to the
largest value of the array, against PyTorch in float64. The exit status is 1 if jaxgan's error is
above 1e-5.
"""

import argparse
import copy
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch_networks

from jaxgan.core import devices
from jaxgan.core.compiling import Program
from jaxgan.nn.recurrent import BidirectionalLSTM
from jaxgan.speech.networks.spectrogram import MetricDiscriminator

TOLERANCE = 1e-5
WIDTH, LAYERS = 200, 2
SMALL = {"channels": (15, 15, 15, 15), "kernels": (5, 5, 5, 5), "dense": (50, 10)}
PAPER = {"channels": (15, 25, 40, 50), "kernels": (5, 7, 9, 11), "dense": (50, 10)}
FRAMES_COMPARED = 40
"""Frames for comparing the discriminators. With more, some input of a LeakyReLU is so close to 0
that rounding decides its slope, and two correct gradients differ."""
CASES = ("blstm", "blstm-ragged", "discriminator", "discriminator-paper")

Thunk = Callable[[], Any]


class Case(NamedTuple):
    """One function of both.

    Attributes:
        apply: jaxgan's: (params, x, other) -> y.
        params: its parameters.
        other: its further argument, [B, ...].
        module: PyTorch's, with the same parameters: (x, other) -> y.
        module_other: its further argument.
        convert: parameters or gradients of the one -> arrays by the name they have in the other.
        x: float32 [B, T, bins], the input.
        weights: of the outputs in the sum whose gradient is taken; 0 in padding.
    """

    apply: Callable[..., jax.Array]
    params: Any
    other: np.ndarray
    module: torch.nn.Module
    module_other: np.ndarray | None
    convert: Callable[[Any], torch_networks.Arrays]
    x: np.ndarray
    weights: np.ndarray


class Side(NamedTuple):
    """One library's way to compute a case.

    Attributes:
        forward: gives the outputs.
        backward: gives the gradients.
        arrays: results of the two -> arrays by name, "output" and gradients.
    """

    forward: Thunk
    backward: Thunk
    arrays: Callable[[Any, Any], torch_networks.Arrays]


def main(arguments: Sequence[str] | None = None) -> int:
    """Compares, measures, prints a table, and writes JSON if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batch", type=int, default=8, help="utterances (default 8)")
    parser.add_argument("--frames", type=int, default=250, help="of each (default 250, 4 s)")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="default: all")
    parser.add_argument("--only", choices=CASES, action="append", help="may be repeated")
    parser.add_argument("--repeats", type=int, default=11, help="timings; their median counts")
    parser.add_argument("--json", type=Path, help="file for the same figures as JSON")
    options = parser.parse_args(arguments)
    start(options.cores)

    rows = []
    for name in options.only or CASES:
        rows += rows_of(name, options.batch, options.frames, options.repeats)
        print(table(rows[-2:]), flush=True)
    figures = {
        "batch": options.batch,
        "frames": options.frames,
        "jaxgan": f"{jax.device_count()} x {jax.devices()[0].device_kind}, jax {jax.__version__}",
        "torch": f"{torch.get_num_threads()} threads, {place()}, torch {torch.__version__}",
        "medians of": options.repeats,
        "rows": rows,
    }
    print("\n" + "\n".join(f"{name}: {v}" for name, v in figures.items() if name != "rows"))
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return int(any(row["jaxgan error"] > TOLERANCE for row in rows))


def start(cores: int) -> None:
    """Restricts this process to so many cores, and both libraries to full float32."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    torch.set_num_threads(cores)
    devices.start()
    jax.config.update("jax_default_matmul_precision", "highest")
    torch.backends.cudnn.allow_tf32 = False


def place() -> torch.device:
    """Returns PyTorch's device: the GPU if jax uses it too."""
    both = jax.default_backend() == "gpu" and torch.cuda.is_available()
    return torch.device("cuda" if both else "cpu")


def make(name: str, batch: int, frames: int) -> Case:
    """A case with random parameters and inputs."""
    x, clean = np.log1p(
        np.abs(np.random.default_rng(0).standard_normal((2, batch, frames, torch_networks.BINS)))
    ).astype(np.float32)
    if name.startswith("discriminator"):
        return discriminator(SMALL if name == "discriminator" else PAPER, x, clean)
    shortest = frames // 2 if name.endswith("-ragged") else frames
    lengths = np.linspace(frames, shortest, batch).astype(np.int32)
    return blstm(x, lengths)


def blstm(x: np.ndarray, lengths: np.ndarray) -> Case:
    """The generator's two bidirectional LSTMs."""
    batch, frames, bins = x.shape
    layer = BidirectionalLSTM(WIDTH)

    def apply(params: Any, x: jax.Array, lengths: jax.Array) -> jax.Array:
        for variables in params:
            x = layer.apply({"params": variables}, x, lengths)  # type: ignore[assignment]
        return x

    sizes = [bins] + [2 * WIDTH] * (LAYERS - 1)
    keys = jax.random.split(jax.random.key(0), LAYERS)
    params = [
        layer.init(key, jnp.zeros((1, 1, size)), jnp.ones(1, int))["params"]
        for key, size in zip(keys, sizes, strict=True)
    ]
    module = torch_networks.BidirectionalLSTM(bins, WIDTH, LAYERS)
    torch_networks.fill(module, torch_networks.lstm_parameters(params))
    valid = np.arange(frames) < lengths[:, None]
    weights = np.random.default_rng(1).standard_normal((batch, frames, 2 * WIDTH))
    return Case(
        apply,
        params,
        lengths,
        module,
        None if valid.all() else lengths,
        torch_networks.lstm_parameters,
        x,
        (weights * valid[..., None]).astype(np.float32),
    )


def discriminator(sizes: dict[str, tuple[int, ...]], x: np.ndarray, clean: np.ndarray) -> Case:
    """A discriminator; its input is the candidate."""
    network = MetricDiscriminator(**sizes)  # type: ignore[arg-type]
    variables = network.init(jax.random.key(0), x[:1], clean[:1], jnp.full(1, x.shape[1]))
    state = {name: collection for name, collection in variables.items() if name != "params"}

    def apply(params: Any, x: jax.Array, clean: jax.Array) -> jax.Array:
        frames = jnp.full(x.shape[0], x.shape[1])
        y: jax.Array = network.apply(
            {"params": params, **state}, x, clean, frames, mutable=list(state)
        )[0]
        return y

    convert = torch_networks.discriminator_parameters
    module = torch_networks.Discriminator(**sizes)  # type: ignore[arg-type]
    vectors = torch_networks.discriminator_vectors(state)
    torch_networks.fill(module, convert(variables["params"]) | vectors)
    module.eval()  # the vectors of the power iterations stay as they are
    weights = np.random.default_rng(1).standard_normal(len(x)).astype(np.float32)
    return Case(apply, variables["params"], clean, module, clean, convert, x, weights)


def of_jaxgan(case: Case) -> Side:
    """The batch divided over the devices, as in training."""
    mesh = devices.make_mesh()
    params = devices.put_replicated(case.params, mesh)
    x, other, weights = devices.put_sharded((case.x, case.other, case.weights), mesh)

    def total(params: Any, x: jax.Array, other: jax.Array, weights: jax.Array) -> jax.Array:
        return jnp.sum(case.apply(params, x, other) * weights)

    forward = Program(case.apply, mesh)
    backward = Program(jax.grad(total, argnums=(0, 1)), mesh)

    def arrays(y: jax.Array, gradients: Any) -> torch_networks.Arrays:
        of_params, of_x = gradients
        counting = np.asarray(y) * (case.weights != 0)
        return {"output": counting, "input": np.asarray(of_x)} | case.convert(of_params)

    return Side(
        lambda: jax.block_until_ready(forward(params, x, other)),
        lambda: jax.block_until_ready(backward(params, x, other, weights)),
        arrays,
    )


def of_torch(case: Case, dtype: torch.dtype) -> Side:
    """The same by PyTorch."""
    where = place()
    module = copy.deepcopy(case.module).to(where, dtype)
    x, weights = (torch.from_numpy(a).to(where, dtype) for a in (case.x, case.weights))
    other = None if case.module_other is None else torch.from_numpy(case.module_other).to(where)
    if other is not None and other.is_floating_point():
        other = other.to(dtype)
    moved = {name: p for name, p in module.named_parameters() if p.requires_grad}
    x.requires_grad_()

    def wait(result: Any) -> Any:
        if where.type == "cuda":
            torch.cuda.synchronize()
        return result

    def forward() -> Any:
        with torch.no_grad():
            return wait(module(x, other))

    def backward() -> Any:
        total = (module(x, other) * weights).sum()
        return wait(torch.autograd.grad(total, [x, *moved.values()]))

    def arrays(y: Any, gradients: Any) -> torch_networks.Arrays:
        counting = y * (weights != 0)
        tensors = dict(zip(("output", "input", *moved), (counting, *gradients), strict=True))
        return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}

    return Side(forward, backward, arrays)


def agreement(case: Case, ours: Side) -> dict[str, tuple[float, float]]:
    """Errors of jaxgan and of PyTorch, both in float32, by part: "forward" and "backward"."""
    sides = of_torch(case, torch.float64), ours, of_torch(case, torch.float32)
    exact, *found = (side.arrays(side.forward(), side.backward()) for side in sides)
    gradients = [name for name in exact if name != "output"]

    def largest(names: Sequence[str]) -> tuple[float, float]:
        ours, theirs = (max(error(arrays[n], exact[n]) for n in names) for arrays in found)
        return ours, theirs

    return {"forward": largest(["output"]), "backward": largest(gradients)}


def measure(case: Case, ours: Side, repeats: int) -> dict[str, np.ndarray]:
    """Milliseconds [jaxgan, PyTorch] by [clock, CPU], by part; medians of repeats in turn."""
    sides = ours, of_torch(case, torch.float32)
    medians = {}
    for part in ("forward", "backward"):
        runs = [getattr(side, part) for side in sides]
        for run in runs:
            run()
        times = [[timed(run) for run in runs] for _ in range(repeats)]
        medians[part] = 1e3 * np.median(times, axis=0)
    return medians


def rows_of(name: str, batch: int, frames: int, repeats: int) -> list[dict[str, Any]]:
    """Two rows of the table."""
    few = min(frames, FRAMES_COMPARED) if name.startswith("discriminator") else frames
    small, case = make(name, 2, few), make(name, batch, frames)
    errors = agreement(small, of_jaxgan(small))
    rows = []
    for part, times in measure(case, of_jaxgan(case), repeats).items():
        (wall, cpu), (torch_wall, torch_cpu) = times.tolist()
        rows.append(
            {
                "case": name,
                "part": "forward" if part == "forward" else "and backward",
                "jaxgan ms": wall,
                "torch ms": torch_wall,
                "times faster": torch_wall / wall,
                "jaxgan CPU ms": cpu,
                "torch CPU ms": torch_cpu,
                "times less CPU": torch_cpu / cpu,
                "jaxgan error": errors[part][0],
                "torch error": errors[part][1],
            }
        )
    return rows


def timed(run: Thunk) -> tuple[float, float]:
    """Seconds that a call takes: by the clock, and of this process's threads together."""
    begin = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - begin[0], time.process_time() - begin[1]


def error(found: np.ndarray, exact: np.ndarray) -> float:
    """Largest difference, relative to the largest value."""
    return float(np.abs(found - exact).max() / np.abs(exact).max())


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as text in columns."""
    lines = [list(rows[0]), *([shown(cell) for cell in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def shown(value: Any) -> str:
    """A cell: floats to three significant digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
