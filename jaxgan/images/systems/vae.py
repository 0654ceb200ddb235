"""Variational autoencoder (Kingma and Welling, ICLR 2014).

The encoder maps a sample x to a Gaussian q(z|x) of diagonal covariance, the decoder a latent code z
to a distribution p(x|z), and codes have the prior N(0, I). In every step both players take one step
down the negative evidence lower bound of a minibatch,

    KL(q(z|x) || N(0, I)) - log p(x|z),    z = mean + sd * e,  e ~ N(0, I),

with one z for each x. KL = sum over j of (mean_j^2 + var_j - log var_j - 1) / 2, at least 0. With
`config.decoder`,

    bernoulli  -log p(x|z) is the cross-entropy of the pixels, from 0 to 1, summed
    gaussian   -log p(x|z) = |x - mean(z)|^2 / (2 sd^2) + M log(2 pi sd^2) / 2, a fixed sd, M values

Both are sums over the values of x. A mean instead of the sum, or a squared error without
1/(2 sd^2), silently changes the weight of the KL term.

Validation reports the bound on held-out data, and the tighter one of Burda et al. 2016 with many z
for each x, whose negative is nearer to -log p(x). The decoder is the player named "generator".
"""

import dataclasses
import functools
import math

import jax
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import config as configs
from jaxgan.core.recipe import Recipe
from jaxgan.core.state import LossResult, Player, Players, RunState, StepResult, descend, step_key
from jaxgan.images.commands import declare
from jaxgan.images.data.batches import Resident
from jaxgan.images.data.dataset import Images
from jaxgan.images.evaluation.likelihood import measure_likelihood
from jaxgan.images.evaluation.validation import MeasurePlayers, Sample, of_players
from jaxgan.images.networks import vae as networks
from jaxgan.images.training import open_training
from jaxgan.methods.variational import draw_normal, kl_to_standard_normal, log_normal

CHOICES = {"decoder": networks.DECODERS}
RANGES = {
    **dict.fromkeys(("latent", "bound.images", "bound.draws"), (1, math.inf)),
    "learning_rate": (0, math.inf),
    "sd": (1e-6, math.inf),
}


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        model: the networks and their distributions.
        optimizer: the optimizer of both players.
        average_decay: the decay of the running average of the parameters; 0: none is kept.
    """

    model: networks.Model
    optimizer: optax.GradientTransformation
    average_decay: float


def step(run_state: RunState, rows: jax.Array, data: Resident, *, system: System) -> StepResult:
    """Moves both players once.

    Returns:
        The state; and `loss` [], the negative bound in nats, with its parts `kl` and
        `reconstruction`.
    """
    model, x = system.model, networks.seen(system.model, data.values[rows[0]])

    def loss(players: Players) -> LossResult:
        mean, log_variance = networks.encode(model, players["encoder"], x)
        z = draw_normal(mean, log_variance, step_key(run_state))
        kl = kl_to_standard_normal(mean, log_variance).mean()
        reconstruction = -networks.log_likelihood(model, players["generator"], x, z).mean()
        value = kl + reconstruction
        return value, ({}, {"loss": value, "kl": kl, "reconstruction": reconstruction})

    moving = dict.fromkeys(("encoder", "generator"), system.optimizer)
    return descend(run_state, moving, loss, system.average_decay)


def log_weight(players: Players, values: jax.Array, key: jax.Array, *, system: System) -> jax.Array:
    """Returns log p(x, z) - log q(z|x) [B] for one z from q for each x."""
    model, x = system.model, networks.seen(system.model, values)
    mean, log_variance = networks.encode(model, players["encoder"], x)
    z = draw_normal(mean, log_variance, key)
    likelihood = networks.log_likelihood(model, players["generator"], x, z)
    return log_normal(z, 0.0, 0.0) + likelihood - log_normal(z, mean, log_variance)


def make_system(config: ConfigDict, shape: tuple[int, ...]) -> System:
    """Returns the system of a config for samples of a shape."""
    model = networks.make_model(config, shape)
    return System(model, optax.adam(config.learning_rate), config.average_decay)


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read; UserError if it cannot be used."""
    training = open_training(config, mesh, CHOICES, RANGES)
    system = make_system(config, training.shape)
    return training.recipe(
        init=networks.initial(system.model, system.optimizer, system.average_decay),
        step=functools.partial(step, system=system),
        moves=("encoder", "generator"),
        sample=make_sample(config, training.shape),
        evaluate=of_players(make_measure(config, training.valid, mesh)),
    )


def make_sample(config: ConfigDict, shape: tuple[int, ...]) -> Sample:
    """Returns a function that draws from the decoder of a config."""
    model = networks.make_model(config, shape)

    def sample(generator: Player, key: jax.Array, labels: jax.Array) -> jax.Array:
        return networks.draw(model, generator, key, len(labels))

    return sample


def make_measure(config: ConfigDict, valid: Images, mesh: Mesh) -> MeasurePlayers:
    """Returns a function that measures the two bounds on held-out data."""
    weigh = functools.partial(log_weight, system=make_system(config, valid.shape))
    held_out = valid.values[: config.bound.images]
    return measure_likelihood(weigh, held_out, config.bound.draws, config.seed, mesh)


def check(config: ConfigDict) -> None:
    """Raises UserError, naming the key, for a value that the model or its bounds cannot use."""
    configs.check_values(config, CHOICES, RANGES)


DECLARATION = declare(make, make_sample, make_measure=make_measure, check=check)
