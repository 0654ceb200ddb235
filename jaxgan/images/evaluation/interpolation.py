"""Pictures of the images that a generator makes on the way from one latent code to another."""

from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jax.sharding import Mesh

from jaxgan.core import devices
from jaxgan.core.compiling import Program
from jaxgan.core.state import Player
from jaxgan.images.data.batches import to_bytes
from jaxgan.images.evaluation.grids import interpolation_grid, linear_path, spherical_path
from jaxgan.images.evaluation.validation import Sample


def with_codes(
    sample: Sample,
    generator: Player,
    key: jax.Array,
    labels: jax.Array,
    codes: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Returns samples, float32 [B, *shape], and the codes that the generator's network received.

    The codes are the first argument of the network's call: latent codes, with any conditions
    joined.

    Args:
        sample: see `Sample`.
        generator: the generator in the form that `sample` takes.
        key: likewise.
        labels: int32 [B].
        codes: float32 [B, d], which the network receives in place of those that `sample` draws.
    """
    received = []

    def exchange(call: Any, arguments: Any, named: Any, context: Any) -> Any:
        if context.module.path or context.method_name != "__call__":
            return call(*arguments, **named)
        received.append(arguments[0] if codes is None else codes)
        return call(received[-1], *arguments[1:], **named)

    with nn.intercept_methods(exchange):
        samples = sample(generator, key, labels)
    return samples, received[-1]


def interpolate(
    sample: Sample,
    generator: Player,
    labels: np.ndarray,
    steps: int,
    seed: int,
    latent: int,
    prior: str,
    mesh: Mesh,
) -> np.ndarray:
    """Returns a picture with a row of images for each label, uint8 [height, width, 3].

    Args:
        sample: see `Sample`; it makes images.
        generator: the generator, on the devices; its running average is used if it has one.
        labels: int32 [rows], the class of each row.
        steps: images in a row, at least 2.
        seed: the seed of the codes at both ends of each row.
        latent: how many of the first numbers of a code are drawn from the prior.
        prior: "normal", whose codes are joined by arcs, or "uniform", whose codes are joined by
            lines, as conditions always are.
        mesh: the devices.
    """
    deployed = generator.without_training()
    arc = spherical_path if prior == "normal" else linear_path

    def path(start: np.ndarray, end: np.ndarray, steps: int) -> np.ndarray:
        of_latent = arc(start[:, :latent], end[:, :latent], steps)
        of_rest = linear_path(start[:, latent:], end[:, latent:], steps)
        return np.concatenate([of_latent, of_rest], axis=-1)

    def draw(player: Player, key: jax.Array, labels: jax.Array) -> jax.Array:
        return with_codes(sample, player, key, labels)[1]

    def make(player: Player, key: jax.Array, labels: jax.Array, codes: jax.Array) -> jax.Array:
        return to_bytes(with_codes(sample, player, key, labels, codes)[0])

    replicated = devices.replicated(mesh)
    key, ends, of_images = devices.put_replicated(
        (jax.random.key(seed), np.tile(labels, 2), np.repeat(labels, steps)), mesh
    )
    draw_program = Program(draw, mesh, out_shardings=replicated)
    make_program = Program(make, mesh, out_shardings=replicated)

    def images(codes: np.ndarray) -> np.ndarray:
        made = make_program(deployed, key, of_images, devices.put_replicated(codes, mesh))
        return np.asarray(jax.device_get(made))

    start, end = np.split(np.asarray(jax.device_get(draw_program(deployed, key, ends))), 2)
    return interpolation_grid(images, start, end, steps, path)
