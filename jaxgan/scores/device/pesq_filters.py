"""Level alignment and input filters of PESQ (ITU-T P.862 and P.862.2) for batches of signals."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft
from jax import lax

from jaxgan.scores.device import pesq_constants
from jaxgan.scores.device.pesq_constants import Tables

_TARGET_POWER = 1e7
_FADE_SAMPLES = 15
_CHUNK = 64
# The wide-band filter's response has decayed below the precision of float32 after this many samples
# (pole radius 0.9726).
_MEMORY = 1024
_HUGE = 3e38


def transform(signals: jax.Array, mode: str, tables: Tables) -> jax.Array:
    """Returns the spectra of signals and their tails, by a real DFT of even length.

    In the narrow-band mode the length is a power of two, because there it affects the result (see
    `narrowband`). In the wide-band mode it is the next length with a fast transform.

    Args:
        signals: float [..., B, S].
        mode: "wb" or "nb".
        tables: the tables of the sample rate.

    Returns:
        complex [..., B, bins].
    """
    samples = signals.shape[-1] + tables.tail
    if mode == "nb":
        return jnp.fft.rfft(signals, 1 << (samples - 1).bit_length())
    return jnp.fft.rfft(signals, 4 * scipy.fft.next_fast_len(-(-samples // 4), real=True))


def level_gains(spectra: jax.Array, lengths: jax.Array, tables: Tables) -> jax.Array:
    """Returns the gains that set the mean power between 350 and 3250 Hz to 10^7.

    The mean is the energy of the circularly filtered signal divided by length + tail. P.862 leaves
    out the filter's ringing before the signal and after its tail. The difference is negligible for
    a recording that starts with a pause; it changes a score by up to 0.0005 if speech is cut off at
    its loudest sample.

    Args:
        spectra: complex [..., B, bins], from `transform`.
        lengths: int32 [B], samples.
        tables: the tables of the sample rate.

    Returns:
        float [..., B], NaN for signals without power in this band.
    """
    size = _fft_length(spectra)
    response = pesq_constants.level_band().amplitude(size, tables.sample_rate)
    audible_bins = np.flatnonzero(response > 1e-10)
    band = slice(audible_bins[0], audible_bins[-1] + 1)
    squares = jnp.square(spectra[..., band].real) + jnp.square(spectra[..., band].imag)
    weights = jnp.asarray(2.0 / size * response[band] ** 2, squares.dtype)
    # A matrix product, because XLA's sums are slow on a CPU.
    energy = jnp.matmul(squares, weights, precision=lax.Precision.HIGHEST)
    power = energy / (lengths + tables.tail).astype(squares.dtype)
    audible = power > 0
    gain = jnp.sqrt(_TARGET_POWER / jnp.where(audible, power, 1.0))
    return jnp.where(audible, gain, jnp.nan)


def _fft_length(spectra: jax.Array) -> int:
    return 2 * (spectra.shape[-1] - 1)


def narrowband(spectra: jax.Array, lengths: jax.Array, samples: int, tables: Tables) -> jax.Array:
    """Returns the signals filtered by the telephone receiver of P.862, including their tails.

    P.862 filters circularly, with the smallest power of two that holds a signal and its tail as the
    period. The response wraps around, so the period affects the result. It must be the period of
    the signal itself, not that of the padded batch; see `_own_bins`.

    Args:
        spectra: complex [..., B, bins], from `transform`.
        lengths: int32 [B], samples.
        samples: S, the length of the signals before the transform.
        tables: the tables of the sample rate.

    Returns:
        float [..., B, S + tail], zero from length + tail on.
    """
    size = _fft_length(spectra)
    response = pesq_constants.receive_filter().amplitude(size, tables.sample_rate)
    own = _own_bins(lengths, size, tables).astype(spectra.real.dtype)
    filtered = _inverse(spectra, own * jnp.asarray(response, own.dtype))
    inside = jnp.arange(samples + tables.tail) < (lengths + tables.tail)[:, None]
    return jnp.where(inside, filtered[..., : samples + tables.tail], 0.0)


def _own_bins(lengths: jax.Array, size: int, tables: Tables) -> jax.Array:
    """Returns weights int32 [B, size / 2 + 1] for filtering with each signal's own period.

    If the signal's own transform has size / r points, the weights are r at every r-th bin, the bins
    of that transform, and 0 in between. The inverse transform of the weighted spectrum is the
    inverse of the signal's own transform, repeated r times.
    """
    last = lengths + tables.tail - 1
    repeats = jnp.right_shift(size, 32 - lax.clz(last.astype(jnp.int32)))[:, None]
    return jnp.where(jnp.arange(size // 2 + 1) & (repeats - 1), 0, repeats)


def block_powers(spectra: jax.Array, samples: int, mode: str, tables: Tables) -> jax.Array:
    """Returns the mean squares of blocks of 4 ms after the input filter and the detector's filter.

    At 16 kHz only every other sample is computed: above 4 kHz the detector's filter passes less
    than a hundredth of the power that it passes at 1 kHz.

    Args:
        spectra: complex [..., B, bins], from `transform`.
        samples: S, the length of the signals before the transform.
        mode: "wb" or "nb", selects the input filter.
        tables: the tables of the sample rate.

    Returns:
        float [..., B, blocks], starting at the first sample and including the guard after the end.
    """
    size = _fft_length(spectra)
    step = tables.sample_rate // 8000
    response = pesq_constants.sections_response(tables.detector, size)
    if mode == "wb":
        section = np.concatenate(pesq_constants.biquad())[None]
        response = response * pesq_constants.sections_response(section, size)
    else:
        receiver = pesq_constants.receive_filter()
        response = response * receiver.amplitude(size, tables.sample_rate)
    filtered = _inverse(spectra, jnp.asarray(response, spectra.dtype), step)
    block = tables.block // step
    blocks = (samples + tables.guard) // tables.block
    squares = jnp.square(filtered[..., : blocks * block])
    return jnp.mean(squares.reshape(*squares.shape[:-1], blocks, block), -1)


def _inverse(spectra: jax.Array, response: jax.Array, step: int = 1) -> jax.Array:
    """Returns every `step`-th sample of the filtered signals, [..., DFT length / step].

    Frequencies above half of the reduced sample rate are removed.

    Args:
        spectra: complex [..., bins].
        response: real or complex [..., bins], the filter's frequency response.
        step: the factor by which the sample rate is reduced.
    """
    size = _fft_length(spectra) // step
    bins = size // 2 + 1
    return jnp.fft.irfft(spectra[..., :bins] * response[..., :bins], size) / step


def fade(signals: jax.Array, lengths: jax.Array) -> jax.Array:
    """Returns signals [..., B, S] with their first and last 15 samples faded, as in P.862.2."""
    position = jnp.arange(signals.shape[-1])
    nearest = jnp.minimum(position, lengths[:, None] - 1 - position)
    steps = (nearest + 1).astype(signals.dtype)
    return signals * jnp.clip(steps / (_FADE_SAMPLES + 1), 0.0, 1.0)


def wideband(signals: jax.Array, lengths: jax.Array, unfused: bool) -> jax.Array:
    """Returns the signals filtered by the input filter of P.862.2.

    Args:
        signals: float [..., B, S] at 16 kHz, zero from `lengths` on.
        lengths: int32 [B], samples.
        unfused: whether every product and every sum is rounded separately, see `_biquad`.

    Returns:
        float [..., B, S], zero from `lengths` on.
    """
    inside = jnp.arange(signals.shape[-1]) < lengths[:, None]
    return jnp.where(inside, _biquad(signals, unfused), 0.0)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _biquad(signals: jax.Array, unfused: bool) -> jax.Array:
    """Returns signals [..., S] filtered by a second-order section that starts at rest.

    Published scores come from float32 arithmetic. The section's inner signal is about 50 times as
    large as its output, so the output contains rounding noise, which is audible to the model if the
    reference has empty upper bands. Rounding every product and every sum to float32 in the same
    order reproduces the noise; fused multiply-adds would halve its power.

    The signal is split into chunks that are filtered in parallel. The state at the start of a chunk
    (the inner signal and its last step) is a linear function of the samples before it.
    """
    size = signals.shape[-1]
    chunks = -(-size // _CHUNK)
    padding = [(0, 0)] * (signals.ndim - 1)
    rows = jnp.pad(signals, [*padding, (0, chunks * _CHUNK - size)])
    rows = rows.reshape(*signals.shape[:-1], chunks, _CHUNK)
    value, step = _states(rows)
    start = value, value - step
    samples = jnp.moveaxis(rows, -1, 0)
    _, filtered = lax.scan(functools.partial(_biquad_step, unfused), start, samples, unroll=2)
    return jnp.moveaxis(filtered, 0, -1).reshape(*signals.shape[:-1], -1)[..., :size]


def _biquad_forward(signals: jax.Array, unfused: bool) -> tuple[jax.Array, None]:
    return _biquad(signals, unfused), None


def _biquad_backward(unfused: bool, _: None, cotangent: jax.Array) -> tuple[jax.Array]:
    # The transpose of a causal filter is the same filter applied backwards in time.
    return (jnp.flip(_biquad(jnp.flip(cotangent, -1), unfused), -1),)


_biquad.defvjp(_biquad_forward, _biquad_backward)


def _biquad_step(
    unfused: bool, state: tuple[jax.Array, jax.Array], sample: jax.Array
) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
    b, a = pesq_constants.biquad()

    def multiply(factor: float, value: jax.Array) -> jax.Array:
        product = value * np.asarray(factor, value.dtype)
        # The clamp keeps the compiler from fusing the product with the following sum.
        return lax.clamp(-_HUGE, product, _HUGE) if unfused else product

    last, second_last = state
    inner = (sample - multiply(a[1], last)) - multiply(a[2], second_last)
    output = (multiply(b[0], inner) + multiply(b[1], last)) + multiply(b[2], second_last)
    return (inner, last), output


def _states(chunks: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the inner signal before each chunk [..., chunks, 64], and its last step."""
    contribution, transition = _state_weights()
    state = jnp.matmul(
        chunks, jnp.asarray(contribution, chunks.dtype), precision=lax.Precision.HIGHEST
    )
    state = _delay(state, 1)
    distance = 1
    while distance * _CHUNK < _MEMORY:
        carried = np.linalg.matrix_power(transition, distance)
        past = _delay(state, distance)
        state = state + jnp.stack(
            [past[..., 0] * carried[i, 0] + past[..., 1] * carried[i, 1] for i in range(2)], -1
        )
        distance *= 2
    return state[..., 0], state[..., 1]


@functools.cache
def _state_weights() -> tuple[np.ndarray, np.ndarray]:
    """Returns the matrices that advance the filter's state by one chunk.

    The state is (z[n], z[n] - z[n-1]) rather than (z[n], z[n-1]): z changes so slowly that float32
    would lose its step, and an inexact step is noise in the output.

    Returns:
        (contribution of a chunk's samples to the state after it [_CHUNK, 2], contribution of the
        state before the chunk [2, 2]), float64.
    """
    _, a = pesq_constants.biquad()
    advance = np.array([[-a[1], -a[2]], [1.0, 0.0]])
    to_step = np.array([[1.0, 0.0], [1.0, -1.0]])
    from_step = np.linalg.inv(to_step)
    response = np.zeros((_CHUNK, 2))
    state = np.array([1.0, 0.0])
    for sample in reversed(range(_CHUNK)):
        response[sample] = to_step @ state
        state = advance @ state
    transition = to_step @ np.linalg.matrix_power(advance, _CHUNK) @ from_step
    return response, transition


def _delay(values: jax.Array, chunks: int) -> jax.Array:
    """Returns values [..., chunks, 2] moved to later positions by `chunks`; zeros move in."""
    padding = [(0, 0)] * (values.ndim - 2)
    return jnp.pad(values, [*padding, (chunks, 0), (0, 0)])[..., : values.shape[-2], :]
