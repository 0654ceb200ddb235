"""Generative adversarial network (Goodfellow et al., NeurIPS 2014), with a choice of losses.

In every step D moves once, then G, on one minibatch of real samples each:

    D takes a step down the loss of D on D(x) and D(G(z))
    G takes a step down the loss of G on D(G(z)), with new z

`config.loss` is one of these (r = D(x), f = D(G(z)), raw outputs; s is the sigmoid):

    minimax         D: -log s(r) - log(1 - s(f))     G: log(1 - s(f)), the paper's value function
    non_saturating  D: the same                      G: -log s(f), what the paper trains with
    least_squares   D: (r - 1)^2 / 2 + f^2 / 2       G: (f - 1)^2 / 2           (Mao et al. 2017)
    hinge           D: max(0, 1 - r) + max(0, 1 + f) G: -f                      (Lim and Ye 2017)

Three options change what D sees or learns. `smoothing` lowers the label of real samples only
(Salimans et al. 2016). `noise` is added to real and generated samples and annealed to nothing
(Arjovsky and Bottou 2017). `packing` shows D several samples at once, so that it notices a lack of
variety (PacGAN, Lin et al. 2018).
"""

import dataclasses
import functools
import math

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core.recipe import Recipe
from jaxgan.core.state import RunState, StepResult, step_key
from jaxgan.images.commands import declare
from jaxgan.images.data.batches import Resident, gather
from jaxgan.images.evaluation.validation import Sample
from jaxgan.images.networks import pair
from jaxgan.images.training import open_training
from jaxgan.methods.adversarial import LABELLED, LOSSES, check_combination
from jaxgan.methods.regularisers import annealed, instance_noise, pack

CODES, NOISE_ON_REAL, NOISE_ON_FAKE = range(3)
"""Streams of random numbers in a step."""


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        networks: the networks of G and D.
        optimizers: the optimizers of G and D.
        loss: a name in `LOSSES`.
        smoothing: how much the label of real samples is lowered.
        noise: the standard deviation of the instance noise at the start.
        noise_steps: updates, of both players together, until the noise has fallen to 0.
        average_decay: the decay of the running average of G's parameters; 0: none is kept.
    """

    networks: pair.Networks
    optimizers: pair.Optimizers
    loss: str
    smoothing: float
    noise: float
    noise_steps: int
    average_decay: float


def shown(system: System, run_state: RunState, samples: jax.Array, stream: int) -> jax.Array:
    """Returns samples as D sees them: with instance noise, in packs."""
    if system.noise:
        sd = annealed(system.noise, run_state.step, system.noise_steps)
        samples = instance_noise(samples, sd, step_key(run_state, stream))
    return pack(samples, system.networks.packing)


def discriminator_step(run_state: RunState, real: jax.Array, *, system: System) -> StepResult:
    """Moves D once. Returns the state, `d_loss` [], and D's mean outputs `d_real` and `d_fake`."""
    generator, key = run_state.players["generator"], step_key(run_state, CODES)
    fake, _ = pair.generate(system.networks, generator, key, len(real))
    options = {"smoothing": system.smoothing} if system.loss in LABELLED else {}
    loss = functools.partial(LOSSES[system.loss].discriminator, **options)
    real = shown(system, run_state, real, NOISE_ON_REAL)
    fake = shown(system, run_state, fake, NOISE_ON_FAKE)
    return pair.move_discriminator(system, run_state, loss, real, fake)


def generator_step(run_state: RunState, count: int, *, system: System) -> StepResult:
    """Moves G once, on `count` samples. Returns the state, and `g_loss` []."""
    loss, key = LOSSES[system.loss].generator, step_key(run_state, CODES)
    seen = functools.partial(shown, system, run_state, stream=NOISE_ON_FAKE)
    return pair.move_generator(system, run_state, loss, key, count, seen)


def step(run_state: RunState, rows: jax.Array, data: Resident, *, system: System) -> StepResult:
    """Moves D, then G. Returns the state and the metrics of both steps."""
    real, _ = gather(data, rows[0])
    run_state, of_discriminator = discriminator_step(run_state, real, system=system)
    run_state, of_generator = generator_step(run_state, len(real), system=system)
    return run_state, of_discriminator | of_generator


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read.

    Raises:
        UserError: a setting or the data cannot be used; the message says which.
    """
    choices = {"loss": ("minimax", "non_saturating", "least_squares", "hinge")}
    ranges = {"smoothing": (0, 0.5), "noise": (0, math.inf), "packing": (1, math.inf)}
    training = open_training(config, mesh, pair.CHOICES | choices, pair.RANGES | ranges)
    check_combination(config.loss, smoothing=config.smoothing)
    system = System(
        networks=pair.make_networks(config, training.shape, config.packing),
        optimizers=pair.make_optimizers(config),
        loss=config.loss,
        smoothing=config.smoothing,
        noise=config.noise,
        noise_steps=config.noise_steps,
        average_decay=config.average_decay,
    )
    return training.recipe(
        init=pair.initial(system.networks, system.optimizers, system.average_decay),
        step=functools.partial(step, system=system),
        moves=("discriminator", "generator"),
        sample=make_sample(config, training.shape),
    )


def make_sample(config: ConfigDict, shape: tuple[int, ...]) -> Sample:
    """Returns a function that draws from the generator of a config."""
    return pair.sampler(pair.make_networks(config, shape, config.packing))


DECLARATION = declare(make, make_sample)
