"""Triple-GAN (Li, Xu, Zhu and Zhang, NeurIPS 2017): a classifier, a generator and a judge of pairs.

C classifies an image, G makes an image of a class, and D says whether a pair of an image and a
class is one of the labelled data. In every step, D, C and G move in turn:

    D goes down  m E -log D(x, y) + (1 - m) E -log D(u', k')
                 + (1 - a) E -log(1 - D(G(z, c), c)) + a E -log(1 - D(u, k))
    C goes down  CE(C(x), y) + a E p(k|u) (-log D(u, k)) + b CE(C(G(z, c)), c)
                 + w_h H(p(.|u)) + w_m CE(uniform, mean p(.|u))
    G goes down  E -log D(G(z, c), c)

x, y are labelled, u and u' are any images, p(.|u) = C(u), k its most probable class, c is random.
The paper's objective has m = 1 (`labelled_share`), but D then memorises the few labelled images and
rejects all others; so section 3.3 and the authors' code have D accept pairs of C as well. The term
of weight b, missing from some texts, makes G's samples training data for C once they are good, at
`pseudo_start`. The last two terms come from the authors' code. With `unlabelled=False`, C learns
from labelled images, and G and D stay as they are: the control.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.nn import log_softmax, logsumexp, one_hot, softplus
from jax.sharding import Mesh
from ml_collections import ConfigDict
from optax.losses import softmax_cross_entropy_with_integer_labels as softmax_cross_entropy

from jaxgan.core.recipe import Recipe
from jaxgan.core.state import LossResult, Player, Players, RunState, StepResult, descend, step_key
from jaxgan.images.commands import declare
from jaxgan.images.data.batches import Resident, gather
from jaxgan.images.data.dataset import Images
from jaxgan.images.evaluation.classification import error_of
from jaxgan.images.evaluation.validation import MeasurePlayers, Sample, of_players
from jaxgan.images.networks import noisy_mlp, pair
from jaxgan.images.networks.classifier import PLAYER as CLASSIFIER
from jaxgan.images.settings import FEW_LABELS_CHOICES, FEW_LABELS_RANGES
from jaxgan.images.training import Rows, open_training

CODES, CLASSES, NOISE_OF_D, NOISE_OF_C = range(4)  # streams of random numbers in a step
PLAYERS = ("generator", "discriminator", CLASSIFIER)
RANGES = {
    **dict.fromkeys(("labelled_share", "share"), (0, 1)),
    **dict.fromkeys(("classifier_learning_rate", "pseudo_start"), (0, math.inf)),
    **dict.fromkeys(("pseudo_weight", "confidence_weight", "balance_weight"), (0, math.inf)),
}


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run; G and D take a one-hot class as their condition."""

    networks: pair.Networks
    classifier: noisy_mlp.NoisyMLP
    optimizers: pair.Optimizers
    classes: int
    labelled_share: float  # m
    share: float  # a
    pseudo_weight: float  # b
    pseudo_start: int
    confidence_weight: float  # w_h
    balance_weight: float  # w_m
    unlabelled: bool
    average_decay: float


def generate(system: System, run_state: RunState, generator: Player, count: int) -> Any:
    """Returns samples [count, *shape], their classes int32 [count], and G's state."""
    codes = pair.draw_codes(system.networks, step_key(run_state, CODES), count)
    wanted = jax.random.randint(step_key(run_state, CLASSES), (count,), 0, system.classes)
    network, condition = system.networks.generator, one_hot(wanted, system.classes)
    samples, state = network.apply(
        generator.variables, codes, condition=condition, mutable=list(generator.state)
    )
    return samples, wanted, state


def judge(
    system: System, run_state: RunState, player: Player, *pairs: tuple[jax.Array, jax.Array]
) -> list[jax.Array]:
    """Returns D's raw outputs for batches of pairs of samples and classes, one array for each."""
    network, key = system.networks.discriminator, step_key(run_state, NOISE_OF_D)
    samples, conditions = [x for x, _ in pairs], [one_hot(y, system.classes) for _, y in pairs]
    outputs = noisy_mlp.judge_together(network, player, samples, key, conditions)
    return [output[:, 0] for output in outputs]


def discriminator_step(
    run_state: RunState, images: jax.Array, labels: jax.Array, others: jax.Array, *, system: System
) -> StepResult:
    """Moves D once, on both minibatches of `others`. Returns the state and `d_loss` []."""
    fake, wanted, _ = generate(system, run_state, run_state.players["generator"], len(others[0]))
    answer = noisy_mlp.classify(system.classifier)
    pseudo = ((u, answer(run_state.players[CLASSIFIER], u).argmax(axis=-1)) for u in others)
    pairs = (images, labels), (fake, wanted), *pseudo

    def loss(players: Players) -> LossResult:
        outputs = judge(system, run_state, players["discriminator"], *pairs)
        on_real, on_fake, on_pseudo, accepted = outputs
        value = system.labelled_share * softplus(-on_real).mean()
        value += (1 - system.labelled_share) * softplus(-accepted).mean()
        value += (1 - system.share) * softplus(on_fake).mean()
        value += system.share * softplus(on_pseudo).mean()
        return value, ({}, {"d_loss": value})

    moving = {"discriminator": system.optimizers["discriminator"]}
    return descend(run_state, moving, loss, system.average_decay)


def classifier_step(
    run_state: RunState, images: jax.Array, labels: jax.Array, other: jax.Array, *, system: System
) -> StepResult:
    """Moves C once. Returns the state, `c_loss` [] and its `supervised` part []."""
    fake, wanted, _ = generate(system, run_state, run_state.players["generator"], len(other))
    batches = (images, other, fake) if system.unlabelled else (images,)
    key = step_key(run_state, NOISE_OF_C)
    begun = run_state.step >= len(PLAYERS) * system.pseudo_start

    def loss(players: Players) -> LossResult:
        classifier = players[CLASSIFIER]
        logits = noisy_mlp.judge_together(system.classifier, classifier, batches, key)
        value = supervised = softmax_cross_entropy(logits[0], labels).mean()
        if system.unlabelled:
            log_p = log_softmax(logits[1])
            of_fake = softmax_cross_entropy(logits[2], wanted).mean()
            pair_of_c = other, log_p.argmax(axis=-1)
            (judged,) = judge(system, run_state, players["discriminator"], pair_of_c)
            entropy = -jnp.sum(jnp.exp(log_p) * log_p, axis=-1).mean()
            imbalance = -jnp.mean(logsumexp(log_p, axis=0) - math.log(len(log_p)))
            value += system.share * jnp.mean(jnp.exp(log_p.max(axis=-1)) * softplus(-judged))
            value += system.confidence_weight * entropy + system.balance_weight * imbalance
            value += jnp.where(begun, system.pseudo_weight, 0.0) * of_fake
        return value, ({}, {"c_loss": value, "supervised": supervised})

    moving = {CLASSIFIER: system.optimizers[CLASSIFIER]}
    return descend(run_state, moving, loss, system.average_decay)


def generator_step(run_state: RunState, count: int, *, system: System) -> StepResult:
    """Moves G once, on `count` samples. Returns the state and `g_loss` []."""

    def loss(players: Players) -> LossResult:
        fake, wanted, state = generate(system, run_state, players["generator"], count)
        (judged,) = judge(system, run_state, players["discriminator"], (fake, wanted))
        value = softplus(-judged).mean()
        return value, ({"generator": state}, {"g_loss": value})

    moving = {"generator": system.optimizers["generator"]}
    return descend(run_state, moving, loss, system.average_decay)


def step(run_state: RunState, rows: Rows, data: Resident, *, system: System) -> StepResult:
    """Moves D, then C, then G. Returns the state and the metrics of the three steps."""
    known, (others, _) = gather(data, rows.labelled), gather(data, rows.all)
    if not system.unlabelled:
        return classifier_step(run_state, *known, others[0], system=system)
    run_state, of_discriminator = discriminator_step(run_state, *known, others, system=system)
    run_state, of_classifier = classifier_step(run_state, *known, others[0], system=system)
    run_state, of_generator = generator_step(run_state, len(others[0]), system=system)
    return run_state, of_discriminator | of_classifier | of_generator


def make_system(config: ConfigDict, shape: tuple[int, ...], classes: int) -> System:
    """Returns the system of a config for samples of a shape."""
    dtype = jnp.dtype(config.dtype)
    weights = ("pseudo_weight", "confidence_weight", "balance_weight")
    names = ("labelled_share", "share", "pseudo_start", *weights)
    return System(
        networks=noisy_mlp.make_networks(config, shape, 1),
        classifier=noisy_mlp.NoisyMLP(outputs=classes, dtype=dtype, **config.classifier),
        optimizers=pair.make_optimizers(config, PLAYERS),
        classes=classes,
        unlabelled=config.unlabelled,
        average_decay=config.average_decay,
        **{name: config[name] for name in names},
    )


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read; UserError if it cannot be used."""
    choices = {**noisy_mlp.CHOICES, **FEW_LABELS_CHOICES}
    ranges = {**noisy_mlp.RANGES, **FEW_LABELS_RANGES, **RANGES}
    training = open_training(config, mesh, choices, ranges)
    classes = len(training.train.classes)
    system = make_system(config, training.shape, classes)
    examples, averaged = training.examples(noisy_mlp.EXAMPLES), config.average_decay > 0
    return training.recipe(
        init=noisy_mlp.initial(
            system.networks, system.optimizers, examples, averaged, classes, system.classifier
        ),
        step=functools.partial(step, system=system),
        moves=PLAYERS,
        sample=make_sample(config, training.shape, classes),
        minibatches=2,
        labelled=config.labelled_batch_size,
        evaluate=of_players(make_measure(config, training.valid, mesh)),
    )


def make_sample(config: ConfigDict, shape: tuple[int, ...], classes: int) -> Sample:
    """Returns a function that draws images of given classes from the generator of a config."""
    return noisy_mlp.sampler(noisy_mlp.make_networks(config, shape, 1), classes)


def make_measure(config: ConfigDict, valid: Images, mesh: Mesh) -> MeasurePlayers:
    """Returns a function that measures the error of C on held-out images."""
    system = make_system(config, valid.shape, len(valid.classes))
    answer = noisy_mlp.classify(system.classifier)
    return error_of(CLASSIFIER, answer, valid, config.batch_size, mesh)


DECLARATION = declare(make, make_sample, conditional=True, make_measure=make_measure)
