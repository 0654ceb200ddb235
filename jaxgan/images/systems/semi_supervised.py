"""Semi-supervised GAN (Odena 2016): the discriminator is also the classifier.

D has N + 1 outputs, a softmax over the N classes and "generated". In every step

    D goes down  E -log p(y|x)           on labelled images x, y
                 + E -log(1 - p(N+1|u))  on all images u, whose class counts as unknown
                 + E -log p(N+1|G(z))    on generated images
    G goes down  E log p(N+1|G(z))       with `loss=minimax`, as in the paper's algorithm
              or E -log(1 - p(N+1|G(z))) with `loss=non_saturating`, whose gradient stays

With d = log sum exp(l_1, ..., l_N) - l_N+1, 1 - p(N+1) is the sigmoid of d, so these are a GAN's
losses on d. The answer of the classifier is the most probable of the N classes.

Implementations with a second output layer for the classes, or with every label, are other systems.
With `unlabelled=False`, D learns from the labelled images only and G stays as it is: the control.
"""

import dataclasses
import functools
from typing import Any

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict
from optax.losses import softmax_cross_entropy_with_integer_labels

from jaxgan.core.recipe import Recipe
from jaxgan.core.state import LossResult, Player, Players, RunState, StepResult, descend, step_key
from jaxgan.images.commands import declare
from jaxgan.images.data.batches import Resident, gather
from jaxgan.images.data.dataset import Images
from jaxgan.images.evaluation.classification import error_of
from jaxgan.images.evaluation.validation import MeasurePlayers, Sample, of_players
from jaxgan.images.networks import pair
from jaxgan.images.settings import FEW_LABELS_CHOICES, FEW_LABELS_RANGES
from jaxgan.images.training import Rows, open_training
from jaxgan.methods.adversarial import LOSSES


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run; D's last output is that of "generated"."""

    networks: pair.Networks
    optimizers: pair.Optimizers
    loss: str
    unlabelled: bool
    average_decay: float


def real_or_not(outputs: jax.Array) -> jax.Array:
    """Returns d [B], the log-odds that samples are real, from D's outputs [B, N + 1]."""
    return jax.nn.logsumexp(outputs[:, :-1], axis=1) - outputs[:, -1]


def discriminator_step(
    run_state: RunState, images: jax.Array, labels: jax.Array, real: jax.Array, *, system: System
) -> StepResult:
    """Moves D once. Returns the state, `d_loss` [] and its `supervised` part []."""
    networks, key = system.networks, step_key(run_state)
    fake, _ = pair.generate(networks, run_state.players["generator"], key, len(real))

    def loss(players: Players) -> LossResult:
        discriminator = players["discriminator"]
        (on_labelled,), state = pair.judge(networks, discriminator, images)
        value = supervised = softmax_cross_entropy_with_integer_labels(on_labelled, labels).mean()
        if system.unlabelled:
            # The batch statistics that classify later are those of real images, of which there are
            # many, and not those of generated ones.
            (on_real,), state = pair.judge(networks, discriminator, real)
            (on_fake,), _ = pair.judge(networks, discriminator, fake)
            value += LOSSES[system.loss].discriminator(real_or_not(on_real), real_or_not(on_fake))
        metrics = {"d_loss": value, "supervised": supervised}
        return value, ({"discriminator": state}, metrics)

    return descend(run_state, {"discriminator": system.optimizers["discriminator"]}, loss)


def generator_step(run_state: RunState, count: int, *, system: System) -> StepResult:
    """Moves G once, on `count` samples. Returns the state, and `g_loss` []."""

    def loss(on_fake: jax.Array) -> jax.Array:
        return LOSSES[system.loss].generator(real_or_not(on_fake))

    return pair.move_generator(system, run_state, loss, step_key(run_state), count)


def step(run_state: RunState, rows: Rows, data: Resident, *, system: System) -> StepResult:
    """Moves D, then G. Returns the state and the metrics of both steps."""
    real, _ = gather(data, rows.all[0])
    images, labels = gather(data, rows.labelled)
    run_state, metrics = discriminator_step(run_state, images, labels, real, system=system)
    if system.unlabelled:
        run_state, of_generator = generator_step(run_state, len(real), system=system)
        metrics |= of_generator
    return run_state, metrics


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read; UserError if it cannot be used."""
    choices = {"loss": ("minimax", "non_saturating"), **FEW_LABELS_CHOICES}
    training = open_training(
        config, mesh, pair.CHOICES | choices, {**pair.RANGES, **FEW_LABELS_RANGES}
    )
    system = System(
        networks=make_networks(config, training.valid),
        optimizers=pair.make_optimizers(config),
        loss=config.loss,
        unlabelled=config.unlabelled,
        average_decay=config.average_decay,
    )
    return training.recipe(
        init=pair.initial(system.networks, system.optimizers, system.average_decay),
        step=functools.partial(step, system=system),
        moves=("discriminator", "generator"),
        sample=make_sample(config, training.shape),
        labelled=config.labelled_batch_size,
        evaluate=of_players(make_measure(config, training.valid, mesh)),
    )


def make_networks(config: ConfigDict, images: Images) -> pair.Networks:
    """Returns the networks of a config for images of known classes."""
    return pair.make_networks(config, images.shape, outputs=len(images.classes) + 1)


def make_sample(config: ConfigDict, shape: tuple[int, ...]) -> Sample:
    """Returns a function that draws from the generator of a config."""
    return pair.sampler(pair.make_networks(config, shape))


def make_measure(config: ConfigDict, valid: Images, mesh: Mesh) -> MeasurePlayers:
    """Returns a function that measures the error of D's classes on held-out images."""
    network = make_networks(config, valid).discriminator

    def classify(discriminator: Player, samples: jax.Array) -> jax.Array:
        outputs: Any = network.apply(discriminator.variables, samples, train=False)
        of_classes: jax.Array = outputs[:, :-1]
        return of_classes

    return error_of("discriminator", classify, valid, config.batch_size, mesh)


DECLARATION = declare(make, make_sample, make_measure=make_measure)
