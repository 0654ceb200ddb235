"""Improved GAN (Salimans et al., NeurIPS 2016): K + 1 classes, feature matching, few labels.

D has one logit l_k for each of the K classes. The logit of the class "generated" is fixed at 0, so
a sample is real with probability Z / (Z + 1), where Z = sum exp(l_k) (section 5). In every step

    D goes down   CE(l(x), y) on labelled images x, y
                  + 1/2 (E -log D(u) + E -log(1 - D(G(z))))   on all images u, D = s(log Z)
    G goes down   |E h(u') - E h(G(z))|^2    h: D's last hidden layer, u' another minibatch

The factor 1/2 is that of the authors' code. They test with a running average of D's parameters.
With `unlabelled=False`, D learns from the labelled images only and G stays as it is: the control.

The paper's other techniques are options. `loss=non_saturating` with `discriminator.kernels=100` is
minibatch discrimination: samples look better, D classifies worse (section 5.2).
`historical_weight` is that of |theta - mean theta|^2 in both losses; some texts lack the square.
`smoothing` lowers the label of real images only: raising that of generated ones would reward G.
`generator.reference` is the size of the reference batch of virtual batch normalisation, of G only.
"""

import dataclasses
import functools
import math

import jax
from jax.nn import logsumexp
from jax.sharding import Mesh
from ml_collections import ConfigDict
from optax.losses import softmax_cross_entropy_with_integer_labels

from jaxgan.core.recipe import Recipe
from jaxgan.core.state import LossResult, Players, RunState, StepResult, descend, step_key
from jaxgan.images.commands import declare
from jaxgan.images.data.batches import Resident, gather
from jaxgan.images.evaluation.validation import of_players
from jaxgan.images.networks import noisy_mlp, pair
from jaxgan.images.settings import FEW_LABELS_CHOICES, FEW_LABELS_RANGES
from jaxgan.images.training import Rows, open_training
from jaxgan.methods.adversarial import LOSSES
from jaxgan.methods.regularisers import average_historically, feature_matching

CODES, ON_LABELLED, ON_REAL, ON_FAKE = range(4)  # streams of random numbers in a step
REAL_OR_NOT = LOSSES["non_saturating"]


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run; see the config for the numbers."""

    networks: pair.Networks
    optimizers: pair.Optimizers
    loss: str
    unlabelled: bool
    smoothing: float
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
            on_real, on_fake = logsumexp(on_real, axis=1), logsumexp(on_fake, axis=1)
            value += REAL_OR_NOT.discriminator(on_real, on_fake, smoothing=system.smoothing) / 2
        return value, ({}, {"d_loss": value, "supervised": supervised})

    moving = {"discriminator": system.optimizers["discriminator"]}
    return descend(run_state, moving, loss, system.average_decay)


def generator_step(run_state: RunState, real: jax.Array, *, system: System) -> StepResult:
    """Moves G once. Returns the state, and `g_loss` []."""
    networks, key = system.networks, functools.partial(step_key, run_state)

    def loss(players: Players) -> LossResult:
        judge = functools.partial(noisy_mlp.judge, networks.discriminator, players["discriminator"])
        fake, state = pair.generate(networks, players["generator"], key(CODES), len(real))
        logits, of_fake = judge(fake, key(ON_FAKE))
        if system.loss == "feature_matching":
            value = feature_matching(judge(real, key(ON_REAL))[1], of_fake)
        else:
            value = REAL_OR_NOT.generator(logsumexp(logits, axis=1))
        return value, ({"generator": state}, {"g_loss": value})

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


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read; UserError if it cannot be used."""
    choices = {"loss": ("feature_matching", "non_saturating"), **FEW_LABELS_CHOICES}
    ranges = {"smoothing": (0, 0.5), "historical_weight": (0, math.inf), **FEW_LABELS_RANGES}
    training = open_training(config, mesh, noisy_mlp.CHOICES | choices, noisy_mlp.RANGES | ranges)
    system = System(
        networks=noisy_mlp.make_networks(config, training.shape, len(training.train.classes)),
        optimizers={
            name: average_historically(config.historical_weight, optimizer)
            for name, optimizer in pair.make_optimizers(config).items()
        },
        loss=config.loss,
        unlabelled=config.unlabelled,
        smoothing=config.smoothing,
        average_decay=config.average_decay,
    )
    examples, averaged = training.examples(noisy_mlp.EXAMPLES), config.average_decay > 0
    return training.recipe(
        init=noisy_mlp.initial(system.networks, system.optimizers, examples, averaged),
        step=functools.partial(step, system=system),
        moves=("discriminator", "generator"),
        sample=noisy_mlp.make_sample(config, training.shape),
        minibatches=2,
        labelled=config.labelled_batch_size,
        evaluate=of_players(noisy_mlp.make_measure(config, training.valid, mesh)),
    )


DECLARATION = declare(make, noisy_mlp.make_sample, make_measure=noisy_mlp.make_measure)
