"""The steps of policy gradient for enhancement: pure functions of a run state and a batch.

REINFORCE (Williams 1992) on masks, as Koizumi et al., "DNN-Based Source Enhancement to Increase
Objective Sound Quality Assessment Score" (2018), let it climb PESQ and STOI: the score is a black
box, and no network stands in for it.
"""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxgan.core.state import Metrics, PyTree, RunState, begin, descend, make_player
from jaxgan.nn.masked import masked_mean
from jaxgan.speech.data.batching import Batch
from jaxgan.speech.networks.masking import Masking, as_float, as_int16, resynthesise
from jaxgan.speech.networks.stft import magnitude, stft


class MaskDeviation(nn.Module):
    """How far masks are drawn from their mean: one dense layer on the noisy feature.

    Attributes:
        initial: the standard deviation everywhere before the first update.
    """

    initial: float

    @nn.compact
    def __call__(self, feature: jax.Array) -> jax.Array:
        """Float32 [B, frames, bins] -> standard deviations of the same shape, above 0."""
        dense = nn.Dense(feature.shape[-1], kernel_init=nn.initializers.zeros)
        return self.initial * jnp.exp(dense(jnp.log1p(feature)))


@dataclasses.dataclass(frozen=True)
class System:
    """All that is fixed during a run.

    Attributes:
        masking: front end and generator, which gives the means.
        deviation: gives the standard deviations.
        samples: K, masks drawn for each utterance; at least 2.
        generator_optimizer: of G.
        deviation_optimizer: of the deviation.
        average_decay: of the average of G's parameters; 0: none is kept.
    """

    masking: Masking
    deviation: MaskDeviation
    samples: int
    generator_optimizer: optax.GradientTransformation
    deviation_optimizer: optax.GradientTransformation
    average_decay: float

    @property
    def highest(self) -> float:
        """The highest value of a mask."""
        return 1.2 if self.masking.generator.learnable_sigmoid else 1.0


def init(key: jax.Array, *, system: System) -> RunState:
    """Both players before their first update."""
    generator_key, deviation_key, run_key = jax.random.split(key, 3)
    feature = jnp.zeros((1, 1, system.masking.front_end.bins))
    generator = system.masking.generator.init(generator_key, feature, jnp.ones((1,), jnp.int32))
    deviation = system.deviation.init(deviation_key, feature)
    averaged = system.average_decay > 0
    return begin(
        run_key,
        {
            "generator": make_player(generator, system.generator_optimizer, averaged),
            "deviation": make_player(deviation, system.deviation_optimizer),
        },
    )


def policy(
    system: System, generator: PyTree, deviation: PyTree, noisy: jax.Array, lengths: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Mean and standard deviation of the masks, each [B, frames, bins].

    Args:
        system: what is fixed.
        generator: parameters of G.
        deviation: parameters of the deviation.
        noisy: feature [B, frames, bins].
        lengths: int [B], samples.
    """
    frames = system.masking.frames(lengths)
    mean: jax.Array = system.masking.generator.apply(  # type: ignore[assignment]
        {"params": generator}, noisy, frames
    )
    spread: jax.Array = system.deviation.apply(  # type: ignore[assignment]
        {"params": deviation}, noisy
    )
    return mean, spread


def draw(mean: jax.Array, deviation: jax.Array, key: jax.Array, samples: int) -> jax.Array:
    """Masks from normal distributions: [B, ...] twice -> [B, K, ...]; constants to a gradient."""
    noise = jax.random.normal(key, (mean.shape[0], samples, *mean.shape[1:]))
    return jax.lax.stop_gradient(mean[:, None] + deviation[:, None] * noise)


def log_likelihood(
    masks: jax.Array, mean: jax.Array, deviation: jax.Array, valid: jax.Array
) -> jax.Array:
    """Of the masks, up to a constant: [B, K], summed over valid frames and all bins.

    Args:
        masks: [B, K, frames, bins].
        mean: [B, frames, bins].
        deviation: [B, frames, bins].
        valid: bool, broadcastable to `mean`.
    """
    distance = (masks - mean[:, None]) / deviation[:, None]
    each = -0.5 * distance**2 - jnp.log(deviation)[:, None]
    return jnp.sum(jnp.where(valid[:, None], each, 0), axis=(2, 3))


def advantages(scores: jax.Array) -> jax.Array:
    """How much better a mask did than the others of its utterance did on average: [B, K] -> [B, K].

    The baseline of each mask leaves its own score out, which keeps the gradient's mean exact
    (Kool, van Hoof and Welling 2019). 0 where there is no score (NaN), or no other to compare with.
    """
    known = jnp.isfinite(scores)
    values = jnp.where(known, scores, 0)
    others = jnp.sum(known, axis=1, keepdims=True) - 1
    mean = (jnp.sum(values, axis=1, keepdims=True) - values) / jnp.maximum(others, 1)
    return jnp.where(known & (others > 0), values - mean, 0)


def policy_loss(scores: jax.Array, likelihood: jax.Array) -> jax.Array:
    """What has the gradient of minus the expected score, summed over utterances, in the mean.

    Args:
        scores: float32 [B, K], NaN where there is none.
        likelihood: log-likelihoods of the masks that had them, [B, K].
    """
    advantage = jax.lax.stop_gradient(advantages(scores))
    return -jnp.sum(masked_mean(advantage * likelihood, jnp.isfinite(scores), axis=1))


def sample_step(
    run_state: RunState, batch: Batch, *, system: System
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """What the policy makes of the noisy utterances, K times each.

    Returns:
        clean int16 [B K, T], enhanced int16 [B K, T] and lengths int32 [B K]; an utterance's K rows
        follow each other.
    """
    masking = system.masking
    spectrum = stft(as_float(batch.noisy), masking.front_end)
    noisy = masking.compress(magnitude(spectrum))
    generator, deviation = (run_state.players[name].params for name in ("generator", "deviation"))
    mean, spread = policy(system, generator, deviation, noisy, batch.lengths)
    masks = draw(mean, spread, _key(run_state), system.samples)
    # What a mask may be is for the world to say, not for the policy: its likelihood stays exact.
    masks = jnp.clip(masks, masking.generator.floor, system.highest)
    repeat = functools.partial(jnp.repeat, repeats=system.samples, axis=0)
    lengths = repeat(batch.lengths)
    feature = (masks * noisy[:, None]).reshape(-1, *noisy.shape[1:])
    enhanced = resynthesise(masking, feature, repeat(spectrum), lengths)
    return repeat(batch.clean), as_int16(enhanced), lengths


def policy_step(
    run_state: RunState, batch: Batch, scores: jax.Array, *, system: System
) -> tuple[RunState, Metrics]:
    """Both players move once, towards masks that scored better than the others of an utterance.

    Args:
        run_state: the one that `sample_step` drew from.
        batch: the one that it drew for.
        scores: float32 [B K], normalised, of what it made; NaN takes no part.
        system: what is fixed.

    Returns:
        The state, and `score` [], the mean over utterances; `spread` [], the mean over utterances
        of the standard deviation of their scores; `deviation` [], of the masks.
    """
    masking = system.masking
    noisy = masking.feature_of(as_float(batch.noisy))
    valid = (jnp.arange(noisy.shape[1]) < masking.frames(batch.lengths)[:, None])[..., None]
    scores = scores.reshape(-1, system.samples)
    before = {name: run_state.players[name].params for name in ("generator", "deviation")}
    mean, spread = policy(system, **before, noisy=noisy, lengths=batch.lengths)
    masks = draw(mean, spread, _key(run_state), system.samples)
    metrics = _summary(scores) | {"deviation": masked_mean(spread, valid)}

    def loss_of(
        name: str, params: PyTree, state: PyTree
    ) -> tuple[jax.Array, tuple[PyTree, Metrics]]:
        mean, spread = policy(system, **before | {name: params}, noisy=noisy, lengths=batch.lengths)
        return policy_loss(scores, log_likelihood(masks, mean, spread, valid)), (state, metrics)

    # Each with the other as it was: one step of both together.
    generator, deviation = (functools.partial(loss_of, name) for name in before)
    run_state, _ = descend(
        run_state, "generator", generator, system.generator_optimizer, system.average_decay
    )
    return descend(run_state, "deviation", deviation, system.deviation_optimizer)


def _key(run_state: RunState) -> jax.Array:
    """The same in both steps of a batch: masks are drawn again rather than kept."""
    return jax.random.fold_in(run_state.key, run_state.step)


def _summary(scores: jax.Array) -> Metrics:
    known = jnp.isfinite(scores)
    mean = masked_mean(scores, known, axis=1, keepdims=True)
    deviation = jnp.sqrt(masked_mean((scores - mean) ** 2, known, axis=1))
    scored = jnp.any(known, axis=1)
    return {
        "score": masked_mean(mean[:, 0], scored),
        "spread": masked_mean(deviation, scored),
    }
