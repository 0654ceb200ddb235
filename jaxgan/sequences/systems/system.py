"""What is fixed during a run of SeqGAN, its first state, and how its steps are laid out."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from jaxgan.core.state import Metrics, PyTree, RunState, begin, make_player
from jaxgan.sequences.networks.discriminator import Discriminator
from jaxgan.sequences.networks.inference import generate
from jaxgan.sequences.networks.language_model import LanguageModel

DATA_STREAM, SAMPLE_STREAM, ROLL_OUT_STREAM, RANDOM_STREAM = range(4)
"""Tell draws of the same step from each other."""


@dataclasses.dataclass(frozen=True)
class System:
    """All that is fixed during a run; bound to the steps before they are compiled.

    Attributes:
        generator: the language model; the roll-out policy is one like it.
        discriminator: D; with one output it is a critic.
        length: T, tokens of a sequence.
        ends: whether `START` ends sequences.
        roll_outs: N, completions of each beginning.
        judge: "discriminator"; or a control: "constant" or "random" rewards in its place.
        baseline: rewards are compared with the mean of the other sequences' at the same token.
        roll_out_decay: share that the roll-out policy keeps of itself when it follows G.
        likelihood_optimizer: of G in pretraining.
        policy_optimizer: of G in the adversarial rounds.
        discriminator_optimizer: of D.
        penalty: weight of half the squared norm of D's output layer.
        gradient_penalty: weight of the critic's (Gulrajani et al. 2017).
        mesh: the devices.
    """

    generator: LanguageModel
    discriminator: Discriminator
    length: int
    ends: bool
    roll_outs: int
    judge: str
    baseline: bool
    roll_out_decay: float
    likelihood_optimizer: optax.GradientTransformation
    policy_optimizer: optax.GradientTransformation
    discriminator_optimizer: optax.GradientTransformation
    penalty: float
    gradient_penalty: float
    mesh: Mesh

    def generate(self, params: PyTree, key: jax.Array, rows: jax.Array) -> jax.Array:
        """What G draws: int32 [B, T], see `inference.generate`."""
        return generate(
            params,
            key,
            rows,
            model=self.generator,
            length=self.length,
            ends=self.ends,
            mesh=self.mesh,
        )


def init(key: jax.Array, *, system: System) -> RunState:
    """Both players before their first update; the roll-out policy is G."""
    generator_key, discriminator_key, run_key = jax.random.split(key, 3)
    tokens = jnp.zeros((1, system.length), jnp.int32)
    generator = system.generator.init(generator_key, tokens)
    discriminator = system.discriminator.init(discriminator_key, tokens)
    players = {
        "generator": make_player(generator, system.likelihood_optimizer),
        "discriminator": make_player(discriminator, system.discriminator_optimizer),
    }
    # A copy of its own: a step is given both to overwrite.
    memory = {"roll_out": jax.tree.map(jnp.copy, players["generator"].params)}
    return begin(run_key, players, memory)


def step_key(run_state: RunState, stream: int) -> jax.Array:
    """The key of one kind of draw in this step."""
    return jax.random.fold_in(jax.random.fold_in(run_state.key, run_state.step), stream)


def over(
    step: Callable[[RunState, jax.Array], tuple[RunState, Metrics]],
    run_state: RunState,
    order: jax.Array,
) -> tuple[RunState, Metrics]:
    """A step for every column of `order` [B, S]; the means of its metrics."""
    run_state, metrics = jax.lax.scan(step, run_state, order.T)
    return run_state, {name: jnp.mean(values) for name, values in metrics.items()}
