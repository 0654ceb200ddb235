"""The steps of a least-squares conditional GAN: pure functions of a run state and a batch.

Mao et al., "Least Squares Generative Adversarial Networks" (2017), with a condition. They know no
network and no representation: `Enhancement` says what a batch is to both players. `cgan` puts
spectrograms and masks into it, `segan` waveforms.

The two differences from MetricGAN (Fu et al. 2019, table 1) stand in the losses below:

    |                   | here                       | metricgan_steps              |
    | label of enhanced | 0, whatever it sounds like | its score                    |
    | D judges beside   | the noisy speech           | the clean speech             |

so that G here needs a distance from the clean speech, too, and MetricGAN's does not.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxgan.core.state import Metrics, PyTree, RunState, begin, descend, make_player
from jaxgan.nn.masked import masked_mean
from jaxgan.speech.data.batching import Batch

REAL, FAKE = 1.0, 0.0
"""D's labels for clean and for enhanced speech."""


class Sides(NamedTuple):
    """A batch as the players see it.

    Attributes:
        clean: float32 [N, ...].
        noisy: of the same shape: the condition.
        lengths: int32 [N], samples of each row; 0 marks one that only fills.
        valid: bool, broadcastable to `clean`: what belongs to an utterance.
    """

    clean: jax.Array
    noisy: jax.Array
    lengths: jax.Array
    valid: jax.Array


class Enhancement(NamedTuple):
    """What the steps need to know of the networks.

    Attributes:
        sides: what a batch is to both players.
        generate: (parameters of G, sides, key) -> enhanced, shaped as `Sides.clean`.
        generator: (key) -> G's variables.
        judge: (parameters of D, its state, candidate, sides) -> D's word on each candidate beside
            the noisy speech, float32 [N], and its state after the call.
        discriminator: (key) -> D's variables.
    """

    sides: Callable[[Batch], Sides]
    generate: Callable[[PyTree, Sides, jax.Array], jax.Array]
    generator: Callable[[jax.Array], PyTree]
    judge: Callable[[PyTree, PyTree, jax.Array, Sides], tuple[jax.Array, PyTree]]
    discriminator: Callable[[jax.Array], PyTree]


@dataclasses.dataclass(frozen=True)
class System:
    """All that is fixed during a run.

    Attributes:
        enhancement: the networks.
        generator_optimizer: of G.
        discriminator_optimizer: of D.
        l1_weight: lambda, of the distance from the clean speech beside D's word.
        average_decay: of the average of G's parameters; 0: none is kept.
    """

    enhancement: Enhancement
    generator_optimizer: optax.GradientTransformation
    discriminator_optimizer: optax.GradientTransformation
    l1_weight: float
    average_decay: float


def init(key: jax.Array, *, system: System) -> RunState:
    """Both players before their first update."""
    generator_key, discriminator_key, run_key = jax.random.split(key, 3)
    generator = system.enhancement.generator(generator_key)
    discriminator = system.enhancement.discriminator(discriminator_key)
    averaged = system.average_decay > 0
    return begin(
        run_key,
        {
            "generator": make_player(generator, system.generator_optimizer, averaged),
            "discriminator": make_player(discriminator, system.discriminator_optimizer),
        },
    )


def least_squares(word: jax.Array, label: float, sides: Sides) -> jax.Array:
    """The mean of (D - label)^2 over rows that are utterances, []."""
    return masked_mean((word - label) ** 2, sides.lengths > 0)


def discriminator_step(
    run_state: RunState, batch: Batch, *, system: System
) -> tuple[RunState, Metrics]:
    """D moves once: (D(clean, noisy) - 1)^2 + D(G(noisy), noisy)^2.

    Returns:
        The state, and `loss` [], and D's mean word on the `clean` [] and on the `enhanced` [].
    """
    sides, judge = system.enhancement.sides(batch), system.enhancement.judge
    key = jax.random.fold_in(run_state.key, run_state.step)
    generator = run_state.players["generator"].params
    enhanced = system.enhancement.generate(generator, sides, key)

    def loss(params: PyTree, state: PyTree) -> tuple[jax.Array, tuple[PyTree, Metrics]]:
        of_clean, state = judge(params, state, sides.clean, sides)
        of_enhanced, state = judge(params, state, enhanced, sides)
        value = least_squares(of_clean, REAL, sides) + least_squares(of_enhanced, FAKE, sides)
        words = [masked_mean(word, sides.lengths > 0) for word in (of_clean, of_enhanced)]
        return value, (state, {"loss": value, "clean": words[0], "enhanced": words[1]})

    return descend(run_state, "discriminator", loss, system.discriminator_optimizer)


def generator_step(
    run_state: RunState, batch: Batch, *, system: System
) -> tuple[RunState, Metrics]:
    """G moves once: (D(G(noisy), noisy) - 1)^2 + lambda |G(noisy) - clean|.

    D is a fixed function here: neither its parameters nor its state change.

    Returns:
        The state, and `loss`, `adversarial` and `distance`, each [].
    """
    sides, judge = system.enhancement.sides(batch), system.enhancement.judge
    key = jax.random.fold_in(run_state.key, run_state.step)
    discriminator = run_state.players["discriminator"]

    def loss(params: PyTree, state: PyTree) -> tuple[jax.Array, tuple[PyTree, Metrics]]:
        enhanced = system.enhancement.generate(params, sides, key)
        word, _ = judge(discriminator.params, discriminator.state, enhanced, sides)
        adversarial = least_squares(word, REAL, sides)
        distance = masked_mean(jnp.abs(enhanced - sides.clean), sides.valid)
        value = adversarial + system.l1_weight * distance
        metrics = {"loss": value, "adversarial": adversarial, "distance": distance}
        return value, (state, metrics)

    return descend(run_state, "generator", loss, system.generator_optimizer, system.average_decay)


def step(run_state: RunState, batch: Batch, *, system: System) -> tuple[RunState, Metrics]:
    """D moves, then G. Metrics as of both steps, with "d_" and "g_" before their names."""
    run_state, of_discriminator = discriminator_step(run_state, batch, system=system)
    run_state, of_generator = generator_step(run_state, batch, system=system)
    both = (("d", of_discriminator), ("g", of_generator))
    return run_state, {
        f"{player}_{name}": value for player, metrics in both for name, value in metrics.items()
    }
