"""Level alignment and input filters of PESQ (ITU-T P.862, P.862.2), for batches of signals."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft
from jax import lax

from jaxgan.scores.device import pesq_constants
from jaxgan.scores.device.pesq_constants import Tables

_LEVEL = 1e7
_FADE_SAMPLES = 15
_CHUNK = 64
# Beyond this the wide-band filter's memory is below float32's rounding (pole radius 0.9726).
_MEMORY = 1024
_HUGE = 3e38


def transform(signals: jax.Array, mode: str, tables: Tables) -> jax.Array:
    """The spectra of signals with their tail, by a DFT of even length.

    Its length is a power of two in the narrow-band mode, where it is heard (see `narrowband`), and
    otherwise the next that transforms fast.

    Args:
        signals: float [..., B, S].
        mode: "wb" or "nb".
        tables: of the sample rate.

    Returns:
        complex [..., B, bins].
    """
    samples = signals.shape[-1] + tables.tail
    if mode == "nb":
        return jnp.fft.rfft(signals, 1 << (samples - 1).bit_length())
    return jnp.fft.rfft(signals, 4 * scipy.fft.next_fast_len(-(-samples // 4), real=True))


def level_gains(spectra: jax.Array, lengths: jax.Array, tables: Tables) -> jax.Array:
    """Gains that bring the mean power between 350 and 3250 Hz to 10^7.

    The mean is the energy on the transform's circle over length + tail. P.862 leaves out what rings
    before the signal and past its tail. That is nothing where a recording begins in a pause; where
    speech is cut at its loudest sample, it moves a score by up to 0.0005.

    Args:
        spectra: complex [..., B, bins], of `transform`.
        lengths: int32 [B], samples.
        tables: of the sample rate.

    Returns:
        float [..., B], NaN where there is no power.
    """
    size = _fft_length(spectra)
    response = pesq_constants.level_band().amplitude(size, tables.sample_rate)
    audible_bins = np.flatnonzero(response > 1e-10)
    band = slice(audible_bins[0], audible_bins[-1] + 1)
    squares = jnp.square(spectra[..., band].real) + jnp.square(spectra[..., band].imag)
    weights = jnp.asarray(2.0 / size * response[band] ** 2, squares.dtype)
    # A product, since XLA's sums on a CPU are slow.
    energy = jnp.matmul(squares, weights, precision=lax.Precision.HIGHEST)
    power = energy / (lengths + tables.tail).astype(squares.dtype)
    audible = power > 0
    gain = jnp.sqrt(_LEVEL / jnp.where(audible, power, 1.0))
    return jnp.where(audible, gain, jnp.nan)


def _fft_length(spectra: jax.Array) -> int:
    return 2 * (spectra.shape[-1] - 1)


def narrowband(spectra: jax.Array, lengths: jax.Array, samples: int, tables: Tables) -> jax.Array:
    """The signals through the telephone receiver of P.862, ringing into the tail.

    P.862 filters on a circle: the power of two that holds a signal and its tail. What rings past
    one end comes back at the other, so the circle's length is heard, and it is the signal's own,
    not that of a batch it is padded for: `_own_bins`.

    Args:
        spectra: complex [..., B, bins], of `transform`.
        lengths: int32 [B], samples.
        samples: S, the length of the signals that the spectra are of.
        tables: of the sample rate.

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
    """int32 [B, size / 2 + 1]: r on every r-th bin, for lengths whose own transform is size / r.

    These bins are those of the own transform. With them times r, and zeros between, the inverse
    transform is the own circle, r times in a row.
    """
    longest = lengths + tables.tail - 1
    times = jnp.right_shift(size, 32 - lax.clz(longest.astype(jnp.int32)))[:, None]
    return jnp.where(jnp.arange(size // 2 + 1) & (times - 1), 0, times)


def block_powers(spectra: jax.Array, samples: int, mode: str, tables: Tables) -> jax.Array:
    """Mean squares behind the input filter of `mode` and the speech detector's filter.

    At 16 kHz every other sample is enough: above 4 kHz the detector's filter lets less than a
    hundredth of the power through that it does at 1 kHz.

    Args:
        spectra: complex [..., B, bins], of `transform`.
        samples: S, the length of the signals that the spectra are of.
        mode: "wb" or "nb".
        tables: of the sample rate.

    Returns:
        float [..., B, blocks of 4 ms], from the first sample on, the guard after the end included.
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
    """[..., length / step]: every `step`-th sample of filtered signals, cut off below their rate.

    Args:
        spectra: complex [..., bins].
        response: [..., bins], real or complex.
        step: of samples; their new rate must be that of what is wanted.
    """
    size = _fft_length(spectra) // step
    bins = size // 2 + 1
    return jnp.fft.irfft(spectra[..., :bins] * response[..., :bins], size) / step


def fade(signals: jax.Array, lengths: jax.Array) -> jax.Array:
    """Signals [..., B, S] with their first and last 15 samples faded, as P.862.2 begins."""
    position = jnp.arange(signals.shape[-1])
    nearest = jnp.minimum(position, lengths[:, None] - 1 - position)
    steps = (nearest + 1).astype(signals.dtype)
    return signals * jnp.clip(steps / (_FADE_SAMPLES + 1), 0.0, 1.0)


def wideband(signals: jax.Array, lengths: jax.Array, unfused: bool) -> jax.Array:
    """The signals through the filter of P.862.2.

    Args:
        signals: float [..., B, S] at 16 kHz, zero from `lengths` on.
        lengths: int32 [B], samples.
        unfused: whether every product and sum is rounded by itself, see `_biquad`.

    Returns:
        float [..., B, S], zero from `lengths` on.
    """
    inside = jnp.arange(signals.shape[-1]) < lengths[:, None]
    return jnp.where(inside, _biquad(signals, unfused), 0.0)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _biquad(signals: jax.Array, unfused: bool) -> jax.Array:
    """A second-order section from rest, along the last axis, in chunks that run side by side.

    Published scores come from float32 arithmetic. The section's inner signal is some 50 times its
    output, so the output carries rounding noise, which the model hears where a reference has empty
    upper bands. The noise is kept by rounding every product and sum to float32 in the same order;
    fusing a product and a sum into one rounding would halve its power. What happens at a chunk's
    start is linear in the samples before it: two numbers, its inner signal and that signal's step.
    """
    shape = signals.shape
    chunks = -(-shape[-1] // _CHUNK)
    rows = signals.reshape(-1, shape[-1])
    rows = jnp.pad(rows, ((0, 0), (0, chunks * _CHUNK - shape[-1])))
    rows = rows.reshape(-1, chunks, _CHUNK)
    value, step = _states(rows)
    lanes = rows.reshape(-1, _CHUNK).T
    start = (value.reshape(-1), (value - step).reshape(-1))
    _, filtered = lax.scan(functools.partial(_biquad_step, unfused), start, lanes, unroll=2)
    return filtered.T.reshape(-1, chunks * _CHUNK)[:, : shape[-1]].reshape(shape)


def _biquad_forward(signals: jax.Array, unfused: bool) -> tuple[jax.Array, None]:
    return _biquad(signals, unfused), None


def _biquad_backward(unfused: bool, _: None, cotangent: jax.Array) -> tuple[jax.Array]:
    # The transpose of a causal filter is the same filter run backwards in time.
    return (jnp.flip(_biquad(jnp.flip(cotangent, -1), unfused), -1),)


_biquad.defvjp(_biquad_forward, _biquad_backward)


def _biquad_step(
    unfused: bool, state: tuple[jax.Array, jax.Array], sample: jax.Array
) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
    b, a = pesq_constants.biquad()

    def times(factor: float, value: jax.Array) -> jax.Array:
        product = value * np.asarray(factor, value.dtype)
        # No compiler may fuse a product with the sum after it across a clip.
        return lax.clamp(-_HUGE, product, _HUGE) if unfused else product

    last, second_last = state
    inner = (sample - times(a[1], last)) - times(a[2], second_last)
    output = (times(b[0], inner) + times(b[1], last)) + times(b[2], second_last)
    return (inner, last), output


def _states(chunks: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The inner signal before each chunk and its last step, each [rows, chunks]."""
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
    """(samples of a chunk -> state after it [_CHUNK, 2], state before -> state after [2, 2]).

    The state is (z[n], z[n] - z[n-1]), not (z[n], z[n-1]): z moves so slowly that float32 would
    lose its step, and a wrong step is noise in the output.
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
    """[rows, chunks, 2] moved later by so many chunks, zeros before."""
    return jnp.pad(values, ((0, 0), (chunks, 0), (0, 0)))[:, : values.shape[1]]
