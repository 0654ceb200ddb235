"""SEGAN: speech enhancement GAN on waveforms (Pascual, Bonafonte and Serra, Interspeech 2017).

A least-squares GAN whose G turns a window of noisy samples and a latent z into clean samples. One
round:

    1. draw N utterances
    2. for every batch, cut into windows:
        D takes a step down (D(clean, noisy) - 1)^2 + D(G(z, noisy), noisy)^2
        G takes a step down (D(G(z, noisy), noisy) - 1)^2 + lambda |G(z, noisy) - clean|

Successive windows share half of their samples in training and none in use. Waveforms are
pre-emphasised, and D's virtual batch normalisation takes its statistics from windows that never
change.
"""

import dataclasses
import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core.errors import UserError
from jaxgan.core.recipe import Recipe
from jaxgan.core.state import (
    LossResult,
    Player,
    Players,
    PyTree,
    RunState,
    StepResult,
    descend,
    make_player,
    make_run_state,
    step_key,
)
from jaxgan.speech.commands import declare
from jaxgan.speech.data.batching import Batch
from jaxgan.speech.losses import discriminator_loss, generator_loss
from jaxgan.speech.networks.masking import as_float
from jaxgan.speech.networks.segan import (
    WaveDiscriminator,
    Waveforms,
    cut,
    emphasise,
    make_denoiser,
    make_waveforms,
)
from jaxgan.speech.settings import CHOICES, RANGES, check
from jaxgan.speech.training import Training, open_training


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        waveforms: the generator, the windows and the pre-emphasis.
        discriminator: the network of D.
        generator_optimizer: the optimizer of G.
        discriminator_optimizer: the optimizer of D.
        l1_weight: lambda, the weight of the distance from clean speech in G's loss.
        average_decay: the decay of the running average of G's parameters; 0: none is kept.
    """

    waveforms: Waveforms
    discriminator: WaveDiscriminator
    generator_optimizer: optax.GradientTransformation
    discriminator_optimizer: optax.GradientTransformation
    l1_weight: float
    average_decay: float


class Windows(NamedTuple):
    """The windows of a batch's utterances, K of each.

    Attributes:
        clean: float32 [B K, window].
        noisy: float32 [B K, window], D's condition.
        lengths: int32 [B K], valid samples; 0 marks a padding window.
        valid: bool [B K, window], the samples that belong to an utterance.
    """

    clean: jax.Array
    noisy: jax.Array
    lengths: jax.Array
    valid: jax.Array


def init(key: jax.Array, *, system: System, reference: np.ndarray) -> RunState:
    """Returns the state before the first update.

    Args:
        key: PRNG key.
        system: what is fixed.
        reference: float32 [discriminator.reference, window, 2], from `draw_reference`.
    """
    generator_key, discriminator_key, run_key = jax.random.split(key, 3)
    window, network = system.waveforms.window, system.waveforms.generator
    wave, latent = jnp.zeros((1, window)), jnp.zeros((1, *network.latent_shape(window)))
    generator = network.init(generator_key, wave, latent)
    discriminator = system.discriminator.init(discriminator_key, wave, wave)
    discriminator = {**discriminator, "reference": {"pairs": jnp.asarray(reference)}}
    averaged = system.average_decay > 0
    return make_run_state(
        run_key,
        {
            "generator": make_player(generator, system.generator_optimizer, averaged),
            "discriminator": make_player(discriminator, system.discriminator_optimizer),
        },
    )


def windows_of(batch: Batch, waveforms: Waveforms) -> Windows:
    """Returns the windows of all utterances; half of each is shared with the next.

    A window is valid if it holds samples of the utterance that the window before it does not.
    """
    window, step = waveforms.window, waveforms.window // 2
    inside = jnp.arange(batch.clean.shape[1]) < batch.lengths[:, None]
    clean, noisy = (
        cut(jnp.where(inside, emphasise(as_float(wave), waveforms.pre_emphasis), 0), window, step)
        for wave in (batch.clean, batch.noisy)
    )
    number = jnp.arange(clean.shape[1])
    left = batch.lengths[:, None] - number * step
    has_new_samples = (left > step) | (number == 0)
    lengths = jnp.where(has_new_samples, jnp.clip(left, 0, window), 0).reshape(-1)
    valid = jnp.arange(window) < lengths[:, None]
    return Windows(clean.reshape(-1, window), noisy.reshape(-1, window), lengths, valid)


def enhance_windows(
    waveforms: Waveforms, params: PyTree, windows: Windows, key: jax.Array
) -> jax.Array:
    """Returns the enhanced windows float32 [B K, window], each made with a latent of its own."""
    network = waveforms.generator
    shape = network.latent_shape(waveforms.window)
    latent = jax.random.normal(key, (len(windows.noisy), *shape))
    enhanced: jax.Array = network.apply(  # type: ignore[assignment]
        {"params": params}, windows.noisy, latent
    )
    return jnp.where(windows.valid, enhanced, 0)


def judge(
    system: System, discriminator: Player, candidate: jax.Array, windows: Windows
) -> jax.Array:
    """Returns D's output for each candidate window [B K, window] and its noisy one: [B K]."""
    output: jax.Array = system.discriminator.apply(  # type: ignore[assignment]
        discriminator.variables, candidate, windows.noisy
    )
    return output


def discriminator_step(run_state: RunState, batch: Batch, *, system: System) -> StepResult:
    """Moves D once, down (D(clean, noisy) - 1)^2 + D(G(z, noisy), noisy)^2.

    Returns:
        The state, and `d_loss` [] and the means of D's output for clean and enhanced speech,
        `d_clean` [] and `d_enhanced` [].
    """
    windows = windows_of(batch, system.waveforms)
    params, key = run_state.players["generator"].params, step_key(run_state)
    enhanced = enhance_windows(system.waveforms, params, windows, key)
    filled = windows.lengths > 0

    def loss(players: Players) -> LossResult:
        of_clean = judge(system, players["discriminator"], windows.clean, windows)
        of_enhanced = judge(system, players["discriminator"], enhanced, windows)
        value, metrics = discriminator_loss(of_clean, of_enhanced, filled)
        return value, ({}, metrics)

    return descend(run_state, {"discriminator": system.discriminator_optimizer}, loss)


def generator_step(run_state: RunState, batch: Batch, *, system: System) -> StepResult:
    """Moves G once, down (D(G(z, noisy), noisy) - 1)^2 + lambda |G(z, noisy) - clean|.

    Returns:
        The state, and `g_loss`, `g_adversarial` and `g_distance`, each [].
    """
    windows = windows_of(batch, system.waveforms)
    key = step_key(run_state)

    def loss(players: Players) -> LossResult:
        params = players["generator"].params
        enhanced = enhance_windows(system.waveforms, params, windows, key)
        output = judge(system, players["discriminator"], enhanced, windows)
        filled, difference = windows.lengths > 0, enhanced - windows.clean
        value, metrics = generator_loss(output, filled, difference, windows.valid, system.l1_weight)
        return value, ({}, metrics)

    return descend(run_state, {"generator": system.generator_optimizer}, loss, system.average_decay)


def step(run_state: RunState, batch: Batch, *, system: System) -> StepResult:
    """Moves D, then G. Returns the state and the metrics of both steps."""
    run_state, of_discriminator = discriminator_step(run_state, batch, system=system)
    run_state, of_generator = generator_step(run_state, batch, system=system)
    return run_state, of_discriminator | of_generator


def draw_reference(training: Training, waveforms: Waveforms, count: int) -> np.ndarray:
    """Returns clean and noisy windows of the training data, float32 [count, window, 2].

    They come from the first batch that round 0 would have, repeated where it holds fewer windows.
    """
    batch, _ = training.loader.round(0)[0]
    program = training.by_rows(functools.partial(windows_of, waveforms=waveforms))
    windows: Windows = training.fetch(program(batch))
    rows = np.resize(np.flatnonzero(windows.lengths), count)
    return np.stack([windows.clean[rows], windows.noisy[rows]], axis=-1)


def check_window(window: int, *networks: ConfigDict) -> None:
    """Raises UserError unless the networks can halve the window once for each of their layers."""
    for network in networks:
        parts = 2 ** len(network.filters)
        if not network.filters or window < parts or window % parts:
            raise UserError(
                f"config.window={window}: choose a multiple of {parts}, because each of the "
                f"{len(network.filters)} filters {network.filters} halves it"
            )


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read and its worker processes started.

    Raises:
        UserError: a setting, the score or the data cannot be used; the message says which.
    """
    ranges = {
        "l1_weight": (0, math.inf),
        "discriminator_learning_rate": (0, math.inf),
        "generator.kernel": (1, math.inf),
        "discriminator.kernel": (1, math.inf),
        "discriminator.reference": (1, math.inf),
        "pre_emphasis": (0, 0.97),
    }
    check(config, CHOICES, {**RANGES, **ranges})
    check_window(config.window, config.generator, config.discriminator)
    system = System(
        waveforms=make_waveforms(config),
        discriminator=WaveDiscriminator(**config.discriminator, dtype=jnp.dtype(config.dtype)),
        generator_optimizer=optax.rmsprop(config.generator_learning_rate),
        discriminator_optimizer=optax.rmsprop(config.discriminator_learning_rate),
        l1_weight=config.l1_weight,
        average_decay=config.average_decay,
    )
    with open_training(config, make_denoiser(config), mesh) as training:
        reference = draw_reference(training, system.waveforms, system.discriminator.reference)
        return training.recipe(
            init=functools.partial(init, system=system, reference=reference),
            step=functools.partial(step, system=system),
            moves=("discriminator", "generator"),
            optional_players=("discriminator",),
        )


DECLARATION = declare(make, make_denoiser)
