"""Convolutions without padding and LeakyReLU by XLA's matrix products, for a CPU in float32.

Where XLA's own convolution is slow (see convolution.py) the same result is had in three steps:

1. **Fewer multiplications along the height** (`toom_cook`). m output rows of an r-tap correlation
   are y = A ((G w) * (B x)), where x are the m + r - 1 = 8 input rows, and `*` multiplies 8 row
   pairs in place of m r (20 for r = 5). A, G, B are constants.
2. **Matrix products along the width.** What is left for each of the 8 points is a convolution along
   the width. Q neighbouring columns with their channels are one vector, so that the convolution is
   a sum of a few matrices [Q C_in, Q C_out] (banded, the taps repeated along the diagonals) each
   applied to the vector some places further on. They hold zeros, but their product runs at the
   machine's peak, which the small one [C_in, C_out] misses by far.
3. **Slabs.** A loop over a few rows at a time keeps the intermediate arrays, which are larger than
   the image, in the cache; of the image's size there is only the result. The bias and the LeakyReLU
   are in that loop too: behind it they would read and write the whole image again.

The backward pass is the transpose of this, slab by slab, and computes the transforms afresh from
the inputs. Kernels higher than 5 are split into several of at most 5 rows whose results are added.
Rounding errors are at most about 2e-6 of the largest value.

Images that are padded to a common height need not be computed to their end: the loop stops after
the rows that count.
"""

import functools
import operator
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.nn.toom_cook import TILE, toom_cook

PyTree = Any

MOST_TAPS = 5
# Rows of one matrix product. With 15 channels each intermediate array of a slab is then 1 MB.
SLAB_ROWS = 512
# Up to so many channels a block is 4 columns rather than 2.
FEW_CHANNELS = 24
COLUMNS = 4
"""Images whose width is a multiple of it are whole blocks, and faster."""
GRADIENT_BLOCK = 2


def serves(x: jax.Array, kernel: jax.Array) -> bool:
    """Whether `convolve` is faster than XLA's own convolution, by dtype and shapes."""
    taps, width, _, _ = kernel.shape
    enough_rows = x.shape[1] - taps + 1 >= TILE and x.shape[2] >= 2 * width
    few_channels = max(kernel.shape[2:]) <= 64
    return x.dtype == jnp.float32 and min(taps, width) >= 3 and enough_rows and few_channels


def convolve(
    slope: float, x: jax.Array, kernel: jax.Array, bias: jax.Array, wanted: jax.Array
) -> jax.Array:
    """As `leaky_convolution`; the first `wanted` [] rows of the result count."""
    height, taps = x.shape[1], kernel.shape[0]
    parts = np.array_split(np.arange(taps), -(-taps // MOST_TAPS))
    spans = [(int(part[0]), int(part[-1]) + 1) for part in parts]
    if len(spans) == 1:
        return _convolve(slope, x, kernel, bias, wanted)
    none = jnp.zeros_like(bias)
    total = _total(
        _convolve(1.0, x[:, start : height - taps + stop], kernel[start:stop], none, wanted)
        for start, stop in spans
    )
    return jax.nn.leaky_relu(total + bias, slope)


def _total(terms: Iterable[jax.Array]) -> jax.Array:
    return functools.reduce(operator.add, terms)


class _Plan(NamedTuple):
    """How an image is cut up. Widths are in columns, heights in rows."""

    columns: int  # of the input
    height: int  # of the output
    width: int  # of the output
    step: int  # output rows of a tile
    tiles: int  # tiles of a slab, one below the other
    slabs: int
    block: int  # columns of a block (Q)
    padded: int  # input width, whole blocks


def _plan(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...]) -> _Plan:
    batch, height, columns, _ = x_shape
    taps_high, taps_wide, channels_in, channels_out = kernel_shape
    height, width = height - taps_high + 1, columns - taps_wide + 1
    step = TILE + 1 - taps_high
    block = _block(max(channels_in, channels_out))
    blocks = -(-width // block) + -(-(taps_wide - 1) // block)
    tiles = min(max(1, SLAB_ROWS // (batch * blocks)), height // step)
    slabs = -(-height // (tiles * step))
    return _Plan(columns, height, width, step, tiles, slabs, block, blocks * block)


def _block(channels: int) -> int:
    """Columns of a block: as many as make the products efficient, since more means more zeros."""
    return COLUMNS // 2 if channels > FEW_CHANNELS else COLUMNS


def _banded(kernel: jax.Array, block: int) -> jax.Array:
    """[kh, kw, C_in, C_out] -> [D, 8, Q C_in, Q C_out].

    Matrix d takes a block of Q input columns to the block d places to its left in the output;
    the kernel's rows are transformed to the 8 points.
    """
    taps_high, taps_wide, channels_in, channels_out = kernel.shape
    distances = -(-(taps_wide - 1) // block) + 1
    shifted = [
        jnp.pad(kernel, ((0, 0), (q, distances * block - taps_wide - q), (0, 0), (0, 0)))
        for q in range(block)
    ]
    bands = jnp.stack(shifted, axis=3)
    bands = bands.reshape(taps_high, distances, block * channels_in, block * channels_out)
    _, g, _ = toom_cook(taps_high)
    return jnp.einsum("pu,udio->dpio", jnp.asarray(g, kernel.dtype), bands, precision="highest")


def _combine(matrix: np.ndarray, rows: list[jax.Array]) -> jax.Array:
    """[p, k] and k arrays -> [p, ...]: sums of products that XLA fuses into one vectorised loop."""
    columns = jnp.asarray(matrix, rows[0].dtype).T.reshape(len(rows), -1, *[1] * rows[0].ndim)
    return _total(column * row for column, row in zip(columns, rows, strict=True))


def _slab(image: jax.Array, start: jax.Array, rows: int, width: int) -> jax.Array:
    """Rows of an image [B, H, L] from `start` on, zeros appended: [B, rows, width]."""
    slab = jax.lax.dynamic_slice_in_dim(image, start, rows, axis=1)
    return jnp.pad(slab, ((0, 0), (0, 0), (0, width - slab.shape[2])))


def _transform_input(slab: jax.Array, b: np.ndarray, plan: _Plan) -> jax.Array:
    """[B, tiles * step + 8 - step, L] -> [8, B, tiles, L], L = padded * C_in."""
    span = plan.step * (plan.tiles - 1) + 1
    return _combine(b, [slab[:, row : row + span : plan.step] for row in range(TILE)])


def _product(blocks: jax.Array, matrix: jax.Array) -> jax.Array:
    """[8, B, tiles, n Q C] times [8, Q C, Q C'] -> [8, B, tiles, n Q C']."""
    rows = blocks.reshape(TILE, -1, matrix.shape[1])
    return jnp.einsum("pmi,pio->pmo", rows, matrix).reshape(*blocks.shape[:3], -1)


def _overlap_add(tiles: jax.Array, step: int) -> jax.Array:
    """Tiles [B, n, 8, L] whose origins are `step` rows apart -> [B, n * step + 8 - step, L]."""
    batch, count, _, length = tiles.shape
    rows = count * step + TILE - step
    total = jnp.zeros((), tiles.dtype)
    for low in range(0, TILE, step):
        part = tiles[:, :, low : low + step]
        part = jnp.pad(part, ((0, 0), (0, 0), (0, step - part.shape[2]), (0, 0)))
        part = part.reshape(batch, count * step, length)
        total = total + jnp.pad(part, ((0, 0), (low, TILE), (0, 0)))[:, :rows]
    return total


def _over_slabs(
    plan: _Plan,
    wanted: jax.Array,
    image: jax.Array,
    body: Callable[[jax.Array, jax.Array, jax.Array, PyTree], PyTree],
    sums: PyTree,
) -> PyTree:
    """body(number, first row, slab of the image, sums) for every slab of the first `wanted` rows.

    The last slab begins early rather than to end short: some rows are seen twice.
    """
    rows = plan.tiles * plan.step
    width = plan.padded * (image.shape[2] // plan.columns)

    def begin(number: jax.Array) -> jax.Array:
        return jnp.minimum(number * rows, plan.height - rows)

    def read(number: jax.Array) -> jax.Array:
        return _slab(image, begin(number), rows + TILE - plan.step, width)

    # Read a turn ahead: what a loop carries is copied in one go, where XLA would otherwise cut it
    # out of the image anew, number by number, for every row of the transform.
    def turn(number: jax.Array, carry: tuple[jax.Array, PyTree]) -> tuple[jax.Array, PyTree]:
        slab, sums = carry
        return read(number + 1), body(number, begin(number), slab, sums)

    count = jnp.clip(-(-wanted // rows), 0, plan.slabs)
    first = read(jnp.zeros((), count.dtype))
    return jax.lax.fori_loop(0, count, turn, (first, sums))[1]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _convolve(
    slope: float, x: jax.Array, kernel: jax.Array, bias: jax.Array, wanted: jax.Array
) -> jax.Array:
    batch, high, wide, channels_in = x.shape
    channels_out = kernel.shape[3]
    plan = _plan(x.shape, kernel.shape)
    a, _, b = toom_cook(kernel.shape[0])
    matrices = _banded(kernel, plan.block)
    image = x.reshape(batch, high, wide * channels_in)
    rows, length = plan.tiles * plan.step, plan.width * channels_out
    biases = jnp.tile(bias, plan.width)

    def body(_: jax.Array, start: jax.Array, slab: jax.Array, y: jax.Array) -> jax.Array:
        points = _transform_input(slab, b, plan)
        products = [_product(points, matrix) for matrix in matrices]
        shift = plan.block * channels_out
        total = _total(z[..., d * shift : d * shift + length] for d, z in enumerate(products))
        result = _combine(a, list(total)) + biases
        result = jnp.where(result < 0, slope * result, result)
        result = result.transpose(1, 2, 0, 3).reshape(batch, rows, length)
        return jax.lax.dynamic_update_slice_in_dim(y, result, start, axis=1)

    # Not zeros: XLA would share, and then copy, those of the backward pass.
    y = jnp.ones((batch, plan.height, length), x.dtype)
    y = _over_slabs(plan, wanted, image, body, y)
    return y.reshape(batch, plan.height, plan.width, channels_out)


def _convolve_forward(
    slope: float, x: jax.Array, kernel: jax.Array, bias: jax.Array, wanted: jax.Array
) -> tuple[jax.Array, tuple[jax.Array | None, ...]]:
    y = _convolve(slope, x, kernel, bias, wanted)
    # A slope of 1 does not ask for the sign.
    return y, (x, kernel, wanted, None if slope == 1 else y)


def _convolve_backward(
    slope: float, saved: tuple[Any, ...], dy: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, None]:
    x, kernel, wanted, y = saved
    batch, high, wide, channels_in = x.shape
    channels_out = kernel.shape[3]
    plan = _plan(x.shape, kernel.shape)
    a, _, b = toom_cook(kernel.shape[0])
    matrices = _banded(kernel, plan.block).swapaxes(2, 3)
    narrow = GRADIENT_BLOCK
    narrow_matrices, transpose_banded = jax.vjp(lambda k: _banded(k, narrow), kernel)
    distances = narrow_matrices.shape[0]
    image = x.reshape(batch, high, wide * channels_in)
    dy = dy.reshape(batch, plan.height, plan.width * channels_out)
    y = y if y is None else y.reshape(dy.shape)
    rows, length = plan.tiles * plan.step, wide * channels_in

    def body(
        number: jax.Array, start: jax.Array, slab: jax.Array, sums: tuple[jax.Array, ...]
    ) -> tuple[jax.Array, ...]:
        dx, dmatrices, dbiases = sums
        dslab = _slab(dy, start, rows, plan.padded * channels_out)
        # What the slab before has counted is zero here.
        fresh = start + jnp.arange(rows) >= number * rows
        dslab = jnp.where(fresh[None, :, None], dslab, 0)
        if y is not None:
            # The sign of the result is that of the sum in front of the LeakyReLU.
            dslab = jnp.where(_slab(y, start, rows, dslab.shape[2]) < 0, slope * dslab, dslab)
        dbiases = dbiases + dslab.sum(1)
        dpoints = _combine(a.T, [dslab[:, row :: plan.step] for row in range(plan.step)])

        points = _transform_input(slab, b, plan)
        dmatrices = dmatrices + _correlate(
            points, dpoints, narrow * channels_in, narrow * channels_out, distances
        )

        shift = plan.block * channels_in
        products = [_product(dpoints, matrix) for matrix in matrices]
        total = _total(
            jnp.pad(z, ((0, 0), (0, 0), (0, 0), (d * shift, 0)))[..., :length]
            for d, z in enumerate(products)
        )
        tiles = _combine(b.T, list(total)).transpose(1, 2, 0, 3)
        result = _overlap_add(tiles, plan.step)
        before = jax.lax.dynamic_slice_in_dim(dx, start, result.shape[1], axis=1)
        dx = jax.lax.dynamic_update_slice_in_dim(dx, before + result, start, axis=1)
        return dx, dmatrices, dbiases

    # The sum over the batch waits until after the loop: sharded, it is one reduction over devices.
    shape = (TILE, batch, narrow * channels_in, distances * narrow * channels_out)
    dbiases = jnp.zeros((batch, plan.padded * channels_out), x.dtype)
    sums = jnp.zeros_like(image), jnp.zeros(shape, x.dtype), dbiases
    dx, dmatrices, dbiases = _over_slabs(plan, wanted, image, body, sums)
    dmatrices = dmatrices.sum(1).reshape(TILE, shape[2], distances, -1).transpose(2, 0, 1, 3)
    (dkernel,) = transpose_banded(dmatrices)
    dbias = dbiases.reshape(-1, channels_out).sum(0)
    return dx.reshape(x.shape), dkernel, dbias, None


def _correlate(
    points: jax.Array, dpoints: jax.Array, size_in: int, size_out: int, distances: int
) -> jax.Array:
    """Gradient of the banded matrices: [8, B, size_in, distances * size_out].

    Sum over the blocks n of points[n + d] dpoints[n], d < distances. The zeros at the end of every
    row of dpoints let it be shifted as one long sequence of rows.
    """
    batch = points.shape[1]
    points = points.reshape(TILE, batch, -1, size_in)
    dpoints = dpoints.reshape(TILE, batch, -1, size_out)
    count = dpoints.shape[2]
    shifted = [
        jnp.pad(dpoints, ((0, 0), (0, 0), (d, 0), (0, 0)))[:, :, :count] for d in range(distances)
    ]
    return jnp.einsum("pbmi,pbmo->pbio", points, jnp.concatenate(shifted, axis=-1))


_convolve.defvjp(_convolve_forward, _convolve_backward)
