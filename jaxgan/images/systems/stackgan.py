"""StackGAN: images of texts in two stages (Zhang et al., ICCV 2017).

The first stage makes a small image of a latent code z and a text t, the second one a large image of
the small one and of t again. Each has a generator G and a D that also sees t. G does not receive t
itself but a condition c that is drawn around it (conditioning augmentation), with e ~ N(0, I):

    c = mu(t) + sigma(t) e

In every step of a stage, on a minibatch of real images x with their texts t, and texts w that do
not belong to them:

    D takes a step down  -log s(D(x, t)) - (log(1 - s(D(x, w))) + log(1 - s(D(G(z, c), t)))) / 2
    G takes a step down  -log s(D(G(z, c), t)) + lambda KL(N(mu(t), diag sigma(t)^2) || N(0, I)) / d

s is the sigmoid and d the size of c: the authors' code has the mean over it. D is matching-aware: a
real image with a wrong text is rejected, so it is not enough for G to make images of any text. In
the second stage G makes its image of that of the first stage's G, which no longer changes.

A survey argues that text embeddings are sparse. The paper's argument is that texts are few, so that
conditions would leave gaps in the space between them, however dense embeddings are; and the
covariance is diagonal. Texts are captions of the images here (`data.captions`), as bags of words.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core.recipe import Recipe
from jaxgan.core.state import (
    LossResult,
    Player,
    Players,
    RunState,
    StepResult,
    descend,
    make_player,
    make_run_state,
    step_key,
)
from jaxgan.images import stages
from jaxgan.images.commands import declare
from jaxgan.images.data.batches import Resident, gather
from jaxgan.images.data.captions import bags_of_words
from jaxgan.images.evaluation.validation import Sample
from jaxgan.images.networks import stacked
from jaxgan.images.networks.refinement import average_areas
from jaxgan.images.stages import FIRST, STAGES, Staged
from jaxgan.images.training import open_training
from jaxgan.methods.adversarial import LOSSES

LOSS = LOSSES["non_saturating"]
JUDGES = {stage: f"discriminator_{stage}" for stage in STAGES}
WRONG, FOR_D, FOR_G = range(3)
"""Streams of random numbers in a step: the wrong texts, and the codes of both updates."""
CHOICES = {**stages.CHOICES, "data.labels": ("captions",), "generator.augmented": (True, False)}
RANGES = {
    **stages.RANGES,
    **dict.fromkeys(("latent", "generator.condition", "generator.features"), (1, math.inf)),
    **dict.fromkeys(("discriminator.features", "discriminator.text"), (1, math.inf)),
    **dict.fromkeys(("learning_rate", "kl_weight", "generator.blocks"), (0, math.inf)),
    **dict.fromkeys(("adam_b1", "adam_b2"), (0, 1)),
    "generator.smallest": (1, math.inf),
}


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        generator: the networks of both G.
        discriminator: the network of either D.
        optimizer: the optimizer of all players.
        captions: the number of captions.
        kl_weight: lambda.
        average_decay: the decay of the running average of the generators; 0: none is kept.
    """

    generator: stacked.Generators
    discriminator: stacked.TextDiscriminator
    optimizer: optax.GradientTransformation
    captions: int
    kl_weight: float
    average_decay: float


def read(system: System, labels: jax.Array) -> jax.Array:
    """Returns the embeddings of captions int32 [B], float32 [B, words]."""
    return jnp.asarray(bags_of_words(system.captions))[labels]


def discriminator_step(
    run_state: RunState, real: jax.Array, labels: jax.Array, *, stage: str, system: System
) -> StepResult:
    """Moves D of a stage once, on images of its size with their captions int32 [B].

    Returns the state, `d_loss` [], and D's mean outputs `d_real`, `d_wrong` and `d_fake`.
    """
    text, name = read(system, labels), JUDGES[stage]
    codes = stacked.draw_codes(system.generator, step_key(run_state, FOR_D), text)
    fake, *_ = stacked.generate(system.generator, run_state.players["generator"], codes, stage)
    other = jax.random.randint(step_key(run_state, WRONG), labels.shape, 1, system.captions)
    wrong = read(system, (labels + other) % system.captions)

    def loss(players: Players) -> LossResult:
        judge = functools.partial(stacked.judge, system.discriminator)
        (on_real, on_wrong), player = judge(players[name], real, text, wrong)
        (on_fake,), player = judge(player, fake, text)
        value = (LOSS.discriminator(on_real, on_wrong) + LOSS.discriminator(on_real, on_fake)) / 2
        means = {"d_real": on_real.mean(), "d_wrong": on_wrong.mean(), "d_fake": on_fake.mean()}
        return value, ({name: player.state}, {"d_loss": value, **means})

    return descend(run_state, {name: system.optimizer}, loss)


def generator_step(
    run_state: RunState, labels: jax.Array, *, stage: str, system: System
) -> StepResult:
    """Moves G of a stage once, for captions int32 [B]. Returns the state, `g_loss` [], `kl` []."""
    text = read(system, labels)
    codes = stacked.draw_codes(system.generator, step_key(run_state, FOR_G), text)

    def loss(players: Players) -> LossResult:
        generator = players["generator"]
        fake, kl, state = stacked.generate(system.generator, generator, codes, stage)
        (on_fake,), _ = stacked.judge(system.discriminator, players[JUDGES[stage]], fake, text)
        value = LOSS.generator(on_fake) + system.kl_weight * kl
        return value, ({"generator": state}, {"g_loss": value, "kl": kl})

    moving = {"generator": stages.of_part(system.optimizer, stacked.PARTS[stage])}
    return descend(run_state, moving, loss, system.average_decay)


def step(run_state: RunState, batch: Staged, data: Resident, *, system: System) -> StepResult:
    """Moves D of the batch's stage, then G. Returns the state and the metrics of both."""
    real, labels = gather(data, batch.rows[0])
    if batch.stage == FIRST:
        real = average_areas(real, [side // system.generator.factor for side in real.shape[1:3]])
    given: dict[str, Any] = {"stage": batch.stage, "system": system}
    run_state, of_discriminator = discriminator_step(run_state, real, labels, **given)
    run_state, of_generator = generator_step(run_state, labels, **given)
    return run_state, of_discriminator | of_generator


def make_system(config: ConfigDict, shape: tuple[int, ...], captions: int) -> System:
    """Returns the system of a config for images of a shape; UserError if it has none."""
    stages.small_side(config, shape)
    dtype = jnp.dtype(config.dtype)
    return System(
        generator=stacked.Generators(
            shape, config.factor, config.latent, **config.generator, dtype=dtype
        ),
        discriminator=stacked.TextDiscriminator(**config.discriminator, dtype=dtype),
        optimizer=optax.adam(config.learning_rate, config.adam_b1, config.adam_b2),
        captions=captions,
        kl_weight=config.kl_weight * config.generator.augmented,
        average_decay=config.average_decay,
    )


def initial(key: jax.Array, *, system: System) -> RunState:
    """Returns the state before the first update."""
    generator_key, *keys, run_key = jax.random.split(key, 4)
    network, text = system.generator, read(system, jnp.zeros(1, jnp.int32))
    parts = stages.of_part(system.optimizer, stacked.PARTS[FIRST])
    variables = network.init(generator_key, stacked.draw_codes(network, run_key, text))
    players = {"generator": make_player(variables, parts, system.average_decay > 0)}
    size, channels = network.shape[0], network.shape[-1]
    for stage, own, side in zip(STAGES, keys, (size // network.factor, size), strict=True):
        image = jnp.zeros((1, side, side, channels))
        variables = system.discriminator.init(own, image, [text])
        players[JUDGES[stage]] = make_player(variables, system.optimizer)
    return make_run_state(run_key, players)


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read; UserError if it cannot be used."""
    training = open_training(config, mesh, CHOICES, RANGES, labelled=True)
    captions = len(training.train.classes)
    system = make_system(config, training.shape, captions)
    return training.recipe(
        init=functools.partial(initial, system=system),
        step=functools.partial(step, system=system),
        moves=("generator", *(JUDGES[stage] for stage in stages.trained(config))),
        sample=make_sample(config, training.shape, captions),
        conditional=True,
        staged=True,
    )


def make_sample(config: ConfigDict, shape: tuple[int, ...], captions: int) -> Sample:
    """Returns a function that draws from both stages, or enlarges the first stage's images."""
    system = make_system(config, shape, captions)

    def sample(generator: Player, key: jax.Array, labels: jax.Array) -> jax.Array:
        codes = stacked.draw_codes(system.generator, key, read(system, labels))
        if config.stages != FIRST:
            made: Any = system.generator.apply(generator.variables, codes, False)
            return made
        small: Any = system.generator.apply(generator.variables, codes, False, method="small")
        return stages.enlarge(small[0], shape[0])

    return sample


DECLARATION = declare(make, make_sample, conditional=True)
