"""CRN: images of layouts by cascaded refinement, without a GAN (Chen and Koltun, ICCV 2017).

G makes k images g_1, ..., g_k of a layout, which gives every pixel one of several codes. In
every step, on a minibatch of layouts with an image I each:

    d(u, p) = sum over l of  lambda_l mean |M_p,l (phi_l(I) - phi_l(g_u))|
    G takes a step down  sum over p of  (1 - s) min over u of d(u, p) + s mean over u of d(u, p)

phi_l are the image itself and the maps of a fixed classifier (`config.content`; the
paper has VGG-19's). M_p,l is 1 where the layout has the code p, averaged to the size of phi_l.
The minimum makes the images of a layout differ (section 3.4): each region learns from the image
that suits it best. With k = 1 this is the paper's equation 1. s is 0.001 in the authors' code.

Some surveys print phi without its layer on the generated side, leave the diversity out, and give
the modules 256 channels; they have 1024, and 512 from 128 pixels on.

lambda_l is 1 over the mean |phi_l(I)| of the batch, so that all terms weigh about the same; the
paper rescales them to that end after 100 epochs.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

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
    RunState,
    StepResult,
    descend,
    make_player,
    make_run_state,
)
from jaxgan.images import feature_loss
from jaxgan.images.data.batches import WHITE
from jaxgan.images.data.layouts import read_codes
from jaxgan.images.evaluation.translation import Translate
from jaxgan.images.feature_loss import Maps
from jaxgan.images.networks.refinement import CascadedRefinement, average_areas
from jaxgan.images.translation import Translation, adam
from jaxgan.images.translation_commands import declare

CHOICES = feature_loss.CHOICES
RANGES = {
    "codes": (2, WHITE + 1),
    "generator.images": (1, math.inf),
    "generator.smallest": (1, math.inf),
    "mean_share": (0, 1),
}


@dataclasses.dataclass(frozen=True)
class System:
    """Everything that is fixed during a run.

    Attributes:
        generator: the network of G.
        optimizer: the optimizer of G.
        maps: the function whose results are compared.
        codes: the number of codes of a layout.
        mean_share: s.
    """

    generator: CascadedRefinement
    optimizer: optax.GradientTransformation
    maps: Maps
    codes: int
    mean_share: float


def generate(system: System, generator: Player, layouts: jax.Array) -> jax.Array:
    """Returns the k images of layouts, float32 [B, k, S, S, C]."""
    made: Any = system.generator.apply(generator.variables, layouts)
    return made


def distances(system: System, real: jax.Array, made: jax.Array, layouts: jax.Array) -> jax.Array:
    """Returns d(u, p), float32 [B, k, codes].

    Args:
        system: the system of the run.
        real: I, float32 [B, S, S, C].
        made: float32 [B, k, S, S, C].
        layouts: float32 [B, S, S, codes], one-hot.
    """
    count, k = made.shape[:2]
    found = jnp.zeros((count, k, system.codes))
    of_made = system.maps(made.reshape(count * k, *made.shape[2:]))
    for wanted, generated in zip(system.maps(real), of_made, strict=True):
        apart = jnp.abs(wanted[:, None] - generated.reshape(count, k, *generated.shape[1:]))
        masks = average_areas(layouts, wanted.shape[1:3])
        masked = jnp.einsum("bkhw,bhwp->bkp", apart.mean(axis=-1), masks)
        scale = jnp.abs(wanted).mean() * math.prod(wanted.shape[1:3])
        found += masked / jnp.maximum(scale, 1e-12)
    return found


def step(run_state: RunState, a: jax.Array, b: jax.Array, *, system: System) -> StepResult:
    """Moves G once, on images b of layouts a.

    Returns the state; its loss `g_loss` []; the mean absolute difference from b of all images,
    `l1` [], and of the best image of each layout, `l1_best` []; and the one between two different
    images of a layout, `diversity` [].
    """
    layouts = jax.nn.one_hot(read_codes(a, system.codes), system.codes)

    def loss(players: Players) -> LossResult:
        made = generate(system, players["generator"], layouts)
        found, share = distances(system, b, made, layouts), system.mean_share
        blended = (1 - share) * found.min(axis=1) + share * found.mean(axis=1)
        value = blended.sum(axis=-1).mean()
        apart, k = jnp.abs(made - b[:, None]).mean(axis=(2, 3, 4)), made.shape[1]
        between = sum(
            jnp.abs(made[:, u] - made[:, v]).mean() for u in range(k) for v in range(u)
        ) / max(k * (k - 1) / 2, 1)
        metrics = {"g_loss": value, "l1": apart.mean(), "l1_best": apart.min(axis=1).mean()}
        return value, ({}, {**metrics, "diversity": jnp.asarray(between, jnp.float32)})

    return descend(run_state, {"generator": system.optimizer}, loss)


def make_system(config: ConfigDict, channels: int, maps: Maps = feature_loss.pixels) -> System:
    """Returns the system of a config for images with a number of channels."""
    dtype = jnp.dtype(config.dtype)
    return System(
        generator=CascadedRefinement(**config.generator, channels=channels, dtype=dtype),
        optimizer=adam(config),
        maps=maps,
        codes=config.codes,
        mean_share=config.mean_share,
    )


def initial(key: jax.Array, *, system: System, size: int) -> RunState:
    """Returns the state before the first update, for images of a side."""
    generator_key, run_key = jax.random.split(key)
    variables = system.generator.init(generator_key, jnp.zeros((1, size, size, system.codes)))
    return make_run_state(run_key, {"generator": make_player(variables, system.optimizer)})


def check_layouts(layouts: np.ndarray, codes: int) -> None:
    """Raises UserError if layouts, uint8 [n, S, S, C], have greys that are no codes."""
    greys = np.rint(np.arange(codes) * WHITE / (codes - 1)).astype(int)
    occurring = np.zeros(WHITE + 1, bool)
    for layout in layouts:
        occurring[layout] = True
    occurring[greys] = False
    if occurring.any():
        raise UserError(
            f"config.codes={codes}: layouts have the grey {occurring.argmax()}, which is none of "
            f"{codes} evenly spaced ones; give the number of codes, and layouts of "
            "config.data.size pixels in a format without loss"
        )


def make(config: ConfigDict, mesh: Mesh) -> Recipe:
    """Returns the recipe of a config, with its data read; UserError if it cannot be used."""
    translation = Translation(config, mesh, paired=True, choices=CHOICES, ranges=RANGES)
    shape = translation.shape
    check_layouts(translation.train.a, config.codes)
    system = make_system(config, shape[-1], feature_loss.make_maps(config, translation.classifier))
    return translation.recipe(
        init=functools.partial(initial, system=system, size=shape[0]),
        step=functools.partial(step, system=system),
        moves=("generator",),
        translations=make_translations(config, shape),
    )


def make_translations(config: ConfigDict, shape: tuple[int, ...]) -> Mapping[str, Translate]:
    """Returns a function that makes one image of each layout; the key chooses which of the k."""
    system = make_system(config, shape[-1])

    def translate(players: Players, images: jax.Array, key: jax.Array) -> jax.Array:
        layouts = jax.nn.one_hot(read_codes(images, system.codes), system.codes)
        made = generate(system, players["generator"], layouts)
        return jnp.take(made, jax.random.randint(key, (), 0, made.shape[1]), axis=1)

    return {"a_to_b": translate}


DECLARATION = declare(make, make_translations, paired=True, choices=CHOICES, ranges=RANGES)
