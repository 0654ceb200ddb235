"""SEGAN: speech enhancement GAN on waveforms (Pascual, Bonafonte and Serra, Interspeech 2017).

The round is that of `cgan`, the losses are those of `cgan_steps`: D learns to tell clean from
enhanced beside the noisy speech, G to deceive it and to stay close to the clean speech. What is
SEGAN's own is here and in `segan_networks`: windows of waveforms in place of spectrograms, a G that
makes samples in place of a mask, a latent, virtual batch normalisation.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core.errors import UserError
from jaxgan.core.state import PyTree
from jaxgan.speech import training
from jaxgan.speech.data.batching import Batch
from jaxgan.speech.networks import optimizers
from jaxgan.speech.networks.masking import as_float
from jaxgan.speech.networks.segan import (
    WaveDiscriminator,
    Waveforms,
    cut,
    emphasise,
    make_waveforms,
)
from jaxgan.speech.systems.cgan import ConditionalGAN
from jaxgan.speech.systems.cgan_steps import Enhancement, Sides, System
from jaxgan.speech.training import Training


def windows_of(batch: Batch, waveforms: Waveforms) -> Sides:
    """The windows of all utterances, half of which the next one shares: [B K, window].

    A window counts where it holds something that the one before does not.
    """
    window, step = waveforms.window, waveforms.window // 2
    inside = jnp.arange(batch.clean.shape[1]) < batch.lengths[:, None]
    clean, noisy = (
        cut(jnp.where(inside, emphasise(as_float(side), waveforms.pre_emphasis), 0), window, step)
        for side in (batch.clean, batch.noisy)
    )
    left = batch.lengths[:, None] - jnp.arange(clean.shape[1]) * step
    counts = (left > step) | (jnp.arange(clean.shape[1]) == 0)
    lengths = jnp.where(counts, jnp.clip(left, 0, window), 0).reshape(-1)
    valid = jnp.arange(window) < lengths[:, None]
    return Sides(clean.reshape(-1, window), noisy.reshape(-1, window), lengths, valid)


def waveform_windows(
    waveforms: Waveforms, discriminator: WaveDiscriminator, reference: jax.Array
) -> Enhancement:
    """Windows of waveforms for both players.

    Args:
        waveforms: G, and how it sees speech.
        discriminator: D.
        reference: float32 [reference, window, 2]: windows of clean beside noisy speech, from which
            D's normalisation takes its statistics.
    """
    shape = waveforms.generator.latent_shape(waveforms.window)
    probe = jnp.zeros((1, waveforms.window))

    def generate(params: PyTree, sides: Sides, key: jax.Array) -> jax.Array:
        latent = jax.random.normal(key, (len(sides.noisy), *shape))
        enhanced: jax.Array = waveforms.generator.apply(  # type: ignore[assignment]
            {"params": params}, sides.noisy, latent
        )
        return jnp.where(sides.valid, enhanced, 0)

    def judge(
        params: PyTree, state: PyTree, candidate: jax.Array, sides: Sides
    ) -> tuple[jax.Array, PyTree]:
        word: jax.Array = discriminator.apply(  # type: ignore[assignment]
            {"params": params, **state}, candidate, sides.noisy
        )
        return word, state

    def initial_discriminator(key: jax.Array) -> PyTree:
        variables = discriminator.init(key, probe, probe)
        return {**variables, "reference": {"pairs": reference}}

    return Enhancement(
        sides=functools.partial(windows_of, waveforms=waveforms),
        generate=generate,
        generator=lambda key: waveforms.generator.init(key, probe, jnp.zeros((1, *shape))),
        judge=judge,
        discriminator=initial_discriminator,
    )


def draw_reference(training: Training, waveforms: Waveforms, count: int) -> np.ndarray:
    """float32 [count, window, 2]: windows of clean and of noisy speech that never change.

    They are of a round 0, which is never trained on as such; where it holds fewer, some come twice.
    """
    batch = training.loader.round(0)[0]
    sides = training.fetch(training.look(functools.partial(windows_of, waveforms=waveforms))(batch))
    rows = np.resize(np.flatnonzero(sides.lengths), count)
    return np.stack([sides.clean[rows], sides.noisy[rows]], axis=-1)


def assemble(config: ConfigDict, training: Training) -> ConditionalGAN:
    """The recipe on waveforms."""
    waveforms = make_waveforms(config)
    discriminator = WaveDiscriminator(**config.discriminator, dtype=jnp.dtype(config.dtype))
    reference = draw_reference(training, waveforms, discriminator.reference)
    system = System(
        enhancement=waveform_windows(waveforms, discriminator, jnp.asarray(reference)),
        generator_optimizer=optax.rmsprop(config.generator_learning_rate),
        discriminator_optimizer=optax.rmsprop(config.discriminator_learning_rate),
        l1_weight=config.l1_weight,
        average_decay=config.average_decay,
    )
    return ConditionalGAN(config, training, system)


CHOICES = {key: values for key, values in training.CHOICES.items() if key != "feature"}
RANGES = {
    key: values
    for key, values in (training.RANGES | optimizers.RANGES).items()
    if not key.startswith(("generator.", "adam_", "gradient_", "learning_"))
} | {
    "l1_weight": (0, math.inf),
    "discriminator_learning_rate": (0, math.inf),
    "generator.kernel": (1, math.inf),
    "discriminator.kernel": (1, math.inf),
    "discriminator.reference": (1, math.inf),
    "pre_emphasis": (0, 0.97),
}


def check_window(window: int, *networks: ConfigDict) -> None:
    """Raises UserError for a window that the networks cannot halve as often as they have layers."""
    for network in networks:
        parts = 2 ** len(network.filters)
        if not network.filters or window < parts or window % parts:
            raise UserError(
                f"config.window={window}: must be a multiple of {parts}, for "
                f"{len(network.filters)} filters ({network.filters}) halve it"
            )


def make(config: ConfigDict, mesh: Mesh) -> ConditionalGAN:
    """The recipe of a config: its data read and checked, its worker processes started.

    Raises:
        UserError: a setting, the score or the data cannot be used; the message says which.
    """
    training.check(config, CHOICES, RANGES)
    check_window(config.window, config.generator, config.discriminator)
    return training.assemble(config, mesh, assemble)
