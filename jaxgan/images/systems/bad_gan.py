"""Bad GAN (Dai, Yang, Yang, Cohen and Salakhutdinov, NeurIPS 2017): few labels, a complement G.

For the K + 1 classes of Salimans et al. 2016 a perfect generator teaches the classifier nothing. A
good one for it makes samples around the data, where their density is low, so that the borders
between the classes go there. With D's logits l_k, Z = sum exp(l_k), p(k|x) = exp(l_k) / Z, and
p(real) = Z / (Z + 1), in every step

    D goes down   CE(l(x), y) on labelled images x, y
                  + 1/2 (E -log p(real|u) + E -log(1 - p(real|G(z))))
                  + w_e E H(p(.|u))                         answers should be certain
    G goes down   |E h(u') - E h(G(z))|^2 / d               feature matching, as Salimans et al.
                  + w_p pull_away(h(G(z)))                  instead of the entropy of G's samples
                  + w_d E max(0, log q(G(z)) - threshold)   samples leave dense regions

h is D's last hidden layer of d units, u and u' are two minibatches of all images, and q is a
density of them, whose 10th percentile on the data is the threshold (`density.share`). The mean over
d is that of the authors' code, to which their weights belong: a sum would outweigh the other terms.

The authors' q is a PixelCNN++ that they train first, and they use its term in a tenth of the steps;
here q is a kernel density on the principal components, from the first step on. They also have a
variational bound on G's entropy, which is not implemented. With `unlabelled=False`, D learns from
the labelled images only and G stays as it is: the control.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
from jax.nn import log_softmax, logsumexp, relu
from jax.sharding import Mesh
from ml_collections import ConfigDict
from optax.losses import softmax_cross_entropy_with_integer_labels

from jaxgan.core.recipe import Recipe
from jaxgan.core.state import LossResult, Players, RunState, StepResult, descend, step_key
from jaxgan.images.commands import declare
from jaxgan.images.data.batches import Resident, gather
from jaxgan.images.evaluation.validation import of_players
from jaxgan.images.networks import density, noisy_mlp, pair
from jaxgan.images.settings import FEW_LABELS_CHOICES, FEW_LABELS_RANGES
from jaxgan.images.training import Rows, open_training
from jaxgan.methods.adversarial import LOSSES
from jaxgan.methods.regularisers import feature_matching, pull_away

CODES, ON_LABELLED, ON_REAL, ON_FAKE = range(4)  # streams of random numbers in a step
EXAMPLES = 3000
"""Training images that the density is estimated from, a third of which only set its threshold."""
RANGES = {
    **{f"{name}_weight": (0, math.inf) for name in ("entropy", "pull_away", "density")},
    "density.components": (1, math.inf),
    "density.share": (0, 1),
}


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run."""

    networks: pair.Networks
    optimizers: pair.Optimizers
    density: density.Density
    entropy_weight: float  # w_e
    pull_away_weight: float  # w_p
    density_weight: float  # w_d
    unlabelled: bool
    average_decay: float


def discriminator_step(
    run_state: RunState, images: jax.Array, labels: jax.Array, real: jax.Array, *, system: System
) -> StepResult:
    """Moves D once. Returns the state, `d_loss` [] and its `supervised` part []."""
    networks, key = system.networks, functools.partial(step_key, run_state)
    fake, _ = pair.generate(networks, run_state.players["generator"], key(CODES), len(real))

    def loss(players: Players) -> LossResult:
        judge = functools.partial(noisy_mlp.judge, networks.discriminator, players["discriminator"])
        logits, _ = judge(images, key(ON_LABELLED))
        value = supervised = softmax_cross_entropy_with_integer_labels(logits, labels).mean()
        if system.unlabelled:
            (on_real, _), (on_fake, _) = judge(real, key(ON_REAL)), judge(fake, key(ON_FAKE))
            real_or_not = LOSSES["non_saturating"].discriminator
            value += real_or_not(logsumexp(on_real, axis=1), logsumexp(on_fake, axis=1)) / 2
            log_p = log_softmax(on_real)
            value -= system.entropy_weight * jnp.sum(jnp.exp(log_p) * log_p, axis=1).mean()
        return value, ({}, {"d_loss": value, "supervised": supervised})

    moving = {"discriminator": system.optimizers["discriminator"]}
    return descend(run_state, moving, loss, system.average_decay)


def generator_step(run_state: RunState, real: jax.Array, *, system: System) -> StepResult:
    """Moves G once. Returns the state, `g_loss` [], and the share of `dense` samples []."""
    networks, key = system.networks, functools.partial(step_key, run_state)

    def loss(players: Players) -> LossResult:
        judge = functools.partial(noisy_mlp.judge, networks.discriminator, players["discriminator"])
        fake, state = pair.generate(networks, players["generator"], key(CODES), len(real))
        (_, of_fake), (_, of_real) = judge(fake, key(ON_FAKE)), judge(real, key(ON_REAL))
        excess = relu(density.log_density(system.density, fake) - system.density.threshold)
        value = feature_matching(of_real, of_fake) / of_fake.shape[-1]
        value += system.pull_away_weight * pull_away(of_fake)
        value += system.density_weight * excess.mean()
        dense = jnp.mean((excess > 0).astype(jnp.float32))
        return value, ({"generator": state}, {"g_loss": value, "dense": dense})

    moving = {"generator": system.optimizers["generator"]}
    return descend(run_state, moving, loss, system.average_decay)


def step(run_state: RunState, rows: Rows, data: Resident, *, system: System) -> StepResult:
    """Moves D, then G. Returns the state and the metrics of both steps."""
    (real, _), (other, _) = gather(data, rows.all[0]), gather(data, rows.all[1])
    images, labels = gather(data, rows.labelled)
    run_state, metrics = discriminator_step(run_state, images, labels, real, system=system)
    if system.unlabelled:
        run_state, of_generator = generator_step(run_state, other, system=system)
        metrics |= of_generator
    return run_state, metrics


def make_system(
    config: ConfigDict, shape: tuple[int, ...], classes: int, fitted: density.Density
) -> System:
    """Returns the system of a config for samples of a shape with a density."""
    return System(
        networks=noisy_mlp.make_networks(config, shape, classes),
        optimizers=pair.make_optimizers(config),
        density=fitted,
        entropy_weight=config.entropy_weight,
        pull_away_weight=config.pull_away_weight,
        density_weight=config.density_weight,
        unlabelled=config.unlabelled,
        average_decay=config.average_decay,
    )


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read; UserError if it cannot be used."""
    choices = {**noisy_mlp.CHOICES, **FEW_LABELS_CHOICES}
    ranges = {**noisy_mlp.RANGES, **FEW_LABELS_RANGES, **RANGES}
    training = open_training(config, mesh, choices, ranges)
    examples, averaged = training.examples(EXAMPLES), config.average_decay > 0
    fitted = density.fit(examples, config.density.components, config.density.share)
    system = make_system(config, training.shape, len(training.train.classes), fitted)
    first = examples[: noisy_mlp.EXAMPLES]
    return training.recipe(
        init=noisy_mlp.initial(system.networks, system.optimizers, first, averaged),
        step=functools.partial(step, system=system),
        moves=("discriminator", "generator"),
        sample=noisy_mlp.make_sample(config, training.shape),
        minibatches=2,
        labelled=config.labelled_batch_size,
        evaluate=of_players(noisy_mlp.make_measure(config, training.valid, mesh)),
    )


DECLARATION = declare(make, noisy_mlp.make_sample, make_measure=noisy_mlp.make_measure)
