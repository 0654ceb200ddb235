"""Times ways to compute a discriminator's convolutions, forward and backward, on this device.

    python benchmarks/convolutions.py [--discriminator=small|paper] [--batch=8] [--frames=250]
        [--repeats=11] [--json=FILE]

Each layer is timed on its own on one device, with its bias and LeakyReLU: as training computes it
(`leaky_convolution`), and by XLA's convolution with channels last or first, in float32 or bfloat16,
and with channels zero-padded to a multiple of 8 or 16, which suits tensor cores. "with backward" is
the time of the gradients with respect to kernel, bias and input, including the forward pass. The
last column is the sum over the layers.
"""

import argparse
import functools
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.core import devices
from jaxgan.nn.convolution import leaky_convolution
from jaxgan.speech.networks.spectrogram import LEAK

BINS, KINDS = 257, 2
DISCRIMINATORS = {
    "small": ((15, 15, 15, 15), (5, 5, 5, 5)),
    "paper": ((15, 25, 40, 50), (5, 7, 9, 11)),
}


class Way(NamedTuple):
    """One way to compute a convolution with XLA.

    Attributes:
        layout: of images and kernels.
        dtype: of the products.
        multiple: channels are padded to a multiple of this.
    """

    layout: tuple[str, str, str]
    dtype: jnp.dtype
    multiple: int


LAST, FIRST = ("NHWC", "HWIO", "NHWC"), ("NCHW", "OIHW", "NCHW")
WAYS = {
    f"{place}, {jnp.dtype(dtype).name}" + (f", padded to {multiple}" if multiple > 1 else ""): Way(
        layout, jnp.dtype(dtype), multiple
    )
    for place, layout in (("last", LAST), ("first", FIRST))
    for dtype in (jnp.float32, jnp.bfloat16)
    for multiple in (1, 8, 16)
}


class Layer(NamedTuple):
    """A convolution: [B, height, width, channels_in] to channels_out, with a square kernel."""

    height: int
    width: int
    channels_in: int
    channels_out: int
    taps: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints a table, and writes JSON if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--discriminator", choices=DISCRIMINATORS, default="small")
    parser.add_argument("--batch", type=int, default=8, help="images (default 8)")
    parser.add_argument("--frames", type=int, default=250, help="of each (default 250, 4 s)")
    parser.add_argument("--repeats", type=int, default=11, help="timings; their median counts")
    parser.add_argument("--json", type=Path, help="file for the same figures as JSON")
    options = parser.parse_args(arguments)
    devices.start()
    layers = layers_of(options.discriminator, options.frames)
    rows = {
        name: [measured(way, layer, options.batch, options.repeats) for layer in layers]
        for name, way in {"as in training": None, **WAYS}.items()
    }
    print(table(layers, rows))
    if options.json:
        device = jax.devices()[0].device_kind
        figures = {"device": device, "layers": layers, "milliseconds": rows}
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


def layers_of(discriminator: str, frames: int) -> list[Layer]:
    """Returns the shapes of a discriminator's convolutions."""
    layers, height, width, before = [], frames, BINS, KINDS
    for channels, taps in zip(*DISCRIMINATORS[discriminator], strict=True):
        layers.append(Layer(height, width, before, channels, taps))
        height, width, before = height - taps + 1, width - taps + 1, channels
    return layers


def measured(way: Way | None, layer: Layer, batch: int, repeats: int) -> tuple[float, float]:
    """Returns the milliseconds of the forward pass, and of both passes."""
    keys = jax.random.split(jax.random.key(0), 3)
    image = jax.random.normal(keys[0], (batch, layer.height, layer.width, layer.channels_in))
    shape = (layer.taps, layer.taps, layer.channels_in, layer.channels_out)
    kernel = jax.random.normal(keys[1], shape) / np.sqrt(np.prod(shape[:3]))
    bias = jnp.zeros(layer.channels_out)
    if way is None:
        forward = functools.partial(leaky_convolution, slope=LEAK)
    else:
        image, kernel, bias = prepared(way, image, kernel, bias)
        forward = functools.partial(plain, way)
    weights = jax.random.normal(keys[2], jax.eval_shape(forward, image, kernel, bias).shape)

    def total(*inputs: jax.Array) -> jax.Array:
        return jnp.sum(forward(*inputs) * weights)

    runs = jax.jit(forward), jax.jit(jax.grad(total, argnums=(0, 1, 2)))
    first, second = (milliseconds(run, (image, kernel, bias), repeats) for run in runs)
    return first, second


def prepared(way: Way, image: Any, kernel: Any, bias: Any) -> tuple[jax.Array, ...]:
    """Returns image, kernel and bias in a way's layout and dtype, padded."""
    more_in, more_out = (-size % way.multiple for size in kernel.shape[2:])
    if kernel.shape[2] == KINDS:
        more_in = 0  # the first layer has the input's channels
    image = jnp.pad(image, ((0, 0), (0, 0), (0, 0), (0, more_in))).astype(way.dtype)
    kernel = jnp.pad(kernel, ((0, 0), (0, 0), (0, more_in), (0, more_out))).astype(way.dtype)
    bias = jnp.pad(bias, (0, more_out)).astype(way.dtype)
    if way.layout == FIRST:
        image, kernel = image.transpose(0, 3, 1, 2), kernel.transpose(3, 2, 0, 1)
        bias = bias[:, None, None]
    return image, kernel, bias


def plain(way: Way, image: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """Computes the convolution with XLA."""
    sums = jax.lax.conv_general_dilated(
        image, kernel, (1, 1), "VALID", dimension_numbers=way.layout
    )
    return jax.nn.leaky_relu(sums + bias, LEAK)


def milliseconds(run: Callable[..., Any], inputs: Sequence[jax.Array], repeats: int) -> float:
    """Returns the median wall-clock time of a run."""
    jax.block_until_ready(run(*inputs))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(run(*inputs))
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


def table(layers: Sequence[Layer], rows: dict[str, list[tuple[float, float]]]) -> str:
    """Formats a row for each way: the times of every layer, and their sums."""
    heads = [f"{one.channels_in}-{one.channels_out} {one.taps}x{one.taps}" for one in layers]
    first = f"{'ms, with backward':>32}"
    lines = [first + "".join(f"{head:>16}" for head in (*heads, "sum"))]
    for name, times in rows.items():
        sums = tuple(map(sum, zip(*times, strict=True)))
        cells = (f"{one:.2f}, {both:.2f}" for one, both in (*times, sums))
        lines.append(f"{name:>32}" + "".join(f"{cell:>16}" for cell in cells))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
