"""Conditional GAN for enhancement: the adversarial baseline of MetricGAN's paper, "IRM (CGAN)".

One round:

    1. draw N utterances
    2. for every batch:
        D learns: clean beside noisy -> 1, enhanced beside noisy -> 0
        G learns to make D say 1, and to stay close to the clean speech

The steps, and the two differences from MetricGAN, are in `cgan_steps`. The round is also SEGAN's.
"""

import functools
import math
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core.phase import by_step
from jaxgan.core.recipe import Evaluation
from jaxgan.core.state import History, PyTree, Record, RunState
from jaxgan.core.timer import Timer
from jaxgan.speech import training
from jaxgan.speech.data.batching import Batch
from jaxgan.speech.networks import optimizers
from jaxgan.speech.networks.masking import Masking, as_float, make_masking, masked_feature
from jaxgan.speech.networks.optimizers import adam
from jaxgan.speech.networks.spectrogram import MetricDiscriminator
from jaxgan.speech.systems.cgan_steps import (
    Enhancement,
    Sides,
    System,
    init,
    step,
)
from jaxgan.speech.systems.metricgan import check_discriminator
from jaxgan.speech.training import Training


def masked_spectrograms(masking: Masking, discriminator: MetricDiscriminator) -> Enhancement:
    """Spectral features, a mask for G, and MetricGAN's discriminator for D."""
    probe = jnp.zeros((1, discriminator.least_frames, masking.front_end.bins))
    frames = jnp.full((1,), discriminator.least_frames)

    def sides(batch: Batch) -> Sides:
        clean, noisy = (masking.feature_of(as_float(side)) for side in (batch.clean, batch.noisy))
        valid = jnp.arange(clean.shape[1]) < masking.frames(batch.lengths)[:, None]
        return Sides(clean, noisy, batch.lengths, valid[..., None])

    def generate(params: PyTree, sides: Sides, key: jax.Array) -> jax.Array:
        return masked_feature(masking, params, sides.noisy, sides.lengths, key)

    def judge(
        params: PyTree, state: PyTree, candidate: jax.Array, sides: Sides
    ) -> tuple[jax.Array, PyTree]:
        variables = {"params": params, **state}
        frames = masking.frames(sides.lengths)
        return discriminator.apply(variables, candidate, sides.noisy, frames, mutable=list(state))

    return Enhancement(
        sides=sides,
        generate=generate,
        generator=lambda key: masking.generator.init(key, probe, frames),
        judge=judge,
        discriminator=lambda key: discriminator.init(key, probe, probe, frames),
    )


class ConditionalGAN:
    """The recipe, for any networks.

    Args:
        config: see configs/cgan.py and configs/segan.py.
        training: data and devices.
        system: networks and optimizers.
    """

    begin_anew = ("discriminator",)

    def __init__(self, config: ConfigDict, training: Training, system: System) -> None:
        self.config = config
        self.training = training
        self.keeps = training.keeps
        self.init = training.begin(functools.partial(init, system=system))
        self.learn = training.phase(functools.partial(step, system=system))

    def round(
        self, state: RunState, history: History, number: int, timer: Timer
    ) -> tuple[RunState, Record, Mapping[str, float | jax.Array]]:
        """One round of the algorithm at the top of this file."""
        with timer.part("data"):
            batches, rows = self.training.draw(number)
        with timer.part("steps"):
            state, log = self.learn(state, batches)
            steps = by_step(self.training.fetch(log))
        means = {name: float(np.mean([step[name] for step in steps])) for name in steps[0]}
        return state, {}, means | {"throughput/audio_seconds": self.training.seconds(rows)}

    def evaluate(self, state: RunState, number: int) -> Callable[[], Evaluation]:
        """The true scores of the validation set."""
        return self.training.evaluate(state, number)

    def close(self) -> None:
        """Ends threads and worker processes."""
        self.training.close()


def assemble(config: ConfigDict, training: Training) -> ConditionalGAN:
    """The recipe on spectrograms."""
    discriminator = MetricDiscriminator(**config.discriminator, dtype=jnp.dtype(config.dtype))
    system = System(
        enhancement=masked_spectrograms(make_masking(config), discriminator),
        generator_optimizer=adam(config, config.generator_learning_rate),
        discriminator_optimizer=adam(config, config.discriminator_learning_rate),
        l1_weight=config.l1_weight,
        average_decay=config.average_decay,
    )
    return ConditionalGAN(config, training, system)


RANGES = (
    training.RANGES
    | optimizers.RANGES
    | {"l1_weight": (0, math.inf), "discriminator_learning_rate": (0, math.inf)}
)


def make(config: ConfigDict, mesh: Mesh) -> ConditionalGAN:
    """The recipe of a config: its data read and checked, its worker processes started.

    Raises:
        UserError: a setting, the score or the data cannot be used; the message says which.
    """
    training.check(config, ranges=RANGES)
    check_discriminator(config.discriminator)
    return training.assemble(config, mesh, assemble)
