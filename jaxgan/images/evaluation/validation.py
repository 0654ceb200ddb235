"""Validation of a generator: samples from fixed latent codes, measured against held-out data."""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import devices
from jaxgan.core.compiling import Program
from jaxgan.core.recipe import Evaluation
from jaxgan.core.state import Player, Players, RunState
from jaxgan.images.data import toys
from jaxgan.images.data.batches import WHITE, to_bytes
from jaxgan.images.data.dataset import Images
from jaxgan.images.evaluation.grids import image_grid
from jaxgan.images.evaluation.kernel import kernel_distance
from jaxgan.images.evaluation.modes import mode_coverage
from jaxgan.reporting import media

BATCH = 500
"""The most samples that one call of a program draws."""
SHOWN = 64
"""Images in the grid that TensorBoard shows."""
SUBSET, SUBSETS = 500, 20
"""Samples in a subset of the kernel distance, if there are so many, and the number of subsets."""
LOOSE = 0.35
"""How near to a mode a sample counts for a loose mode, in radii of the ring or spacings of the
grid."""

Sample = Callable[[Player, jax.Array, jax.Array], jax.Array]
"""(the generator, whose `params` are those to use; key; int32 [B], the class of each sample, which
unconditional systems ignore) -> float32 [B, *shape], images from -1 to 1 or points; pure."""
MeasurePlayers = Callable[[Players], Callable[[], tuple[dict[str, float], float]]]
"""(the players) -> a function that waits for metrics by name and for the objective, of which higher
is better and which replaces that of the samples. What needs the players is dispatched at once."""


class Sampler:
    """Draws from a generator, in batches of one size.

    Args:
        sample: see `Sample`.
        mesh: the devices.
    """

    def __init__(self, sample: Sample, mesh: Mesh) -> None:
        def batch(player: Player, key: jax.Array, labels: jax.Array) -> jax.Array:
            made = sample(player, key, labels)
            return to_bytes(made) if made.ndim == 4 else made

        self._program = Program(batch, mesh, out_shardings=devices.replicated(mesh))
        self._mesh = mesh

    def __call__(self, player: Player, labels: np.ndarray, seed: int) -> Callable[[], np.ndarray]:
        """Starts to draw one sample for each label.

        Args:
            player: the generator; its running average is used if it has one.
            labels: int32 [n], the class of each sample.
            seed: of the latent codes.

        Returns:
            A function that waits for the samples: uint8 [n, H, W, C] or float32 [n, 2].
        """
        deployed = dataclasses.replace(player, params=player.deployed, opt_state=(), average={})
        count, size = len(labels), min(len(labels), BATCH)
        batches = np.resize(labels, (-(-count // size), size))
        keys = jax.random.split(jax.random.key(seed), len(batches))
        placed = devices.put_replicated(list(zip(keys, batches, strict=True)), self._mesh)
        drawn = [self._program(deployed, *inputs) for inputs in placed]
        return lambda: np.concatenate(jax.device_get(drawn))[:count]


class Validation:
    """Validates the generators of a run.

    Args:
        config: of the run; `validation.samples` is how many samples are measured.
        valid: the held-out data.
        sampler: draws from the generator.
        measure_players: measures something else, such as a classifier.
    """

    def __init__(
        self,
        config: ConfigDict,
        valid: Images,
        sampler: Sampler,
        measure_players: MeasurePlayers | None = None,
    ) -> None:
        self._config = config
        self._valid = valid
        self._sampler = sampler
        self._measure_players = measure_players

    def __call__(self, state: RunState, number: int) -> Callable[[], Evaluation]:
        """Starts the validation of round `number`. The latent codes are the same in all rounds."""
        labels = every_class(self._config.validation.samples, len(self._valid.classes))
        drawn = self._sampler(state.players["generator"], labels, self._config.seed)
        measured = self._measure_players(state.players) if self._measure_players else None

        def wait() -> Evaluation:
            samples = drawn()
            metrics, objective = measure(samples, self._valid, self._config)
            if measured:
                of_players, objective = measured()
                metrics = of_players | metrics
            shown = {}
            if samples.ndim == 4:
                shown = {"samples": media.image(image_grid(samples[:SHOWN]))}
            return Evaluation(metrics, objective, shown)

        return wait


def every_class(count: int, classes: int) -> np.ndarray:
    """Returns labels 0, 1, ..., classes - 1, 0, ... of `count` samples, int32 [count]."""
    return np.arange(count, dtype=np.int32) % max(classes, 1)


def measure(
    samples: np.ndarray, valid: Images, config: ConfigDict
) -> tuple[dict[str, float], float]:
    """Returns the metrics of samples by name, and the objective, of which higher is better.

    Points of a known mixture: modes with a sample of high quality, the share of such samples, loose
    modes, and the reverse KL divergence over modes (the objective). Everything else: the kernel
    distance to the held-out data in pixels or coordinates, which needs no trained features.

    Args:
        samples: uint8 [n, H, W, C] or float32 [n, 2].
        valid: the held-out data.
        config: of the run.
    """
    mixture = _mixture(config)
    if mixture:
        centres, sd, unit = mixture
        found = mode_coverage(samples, centres, sd, LOOSE * unit)
        metrics = {f"eval/{name}": float(value) for name, value in found._asdict().items()}
        return metrics, -found.reverse_kl
    real, fake = (_flat(values) for values in (valid.values, samples))
    size = min(SUBSET, len(real), len(fake))
    distance = kernel_distance(real, fake, config.seed, size, SUBSETS).mean
    name = "eval/kid_pixels" if samples.ndim == 4 else "eval/kid_points"
    return {name: distance}, -distance


def _mixture(config: ConfigDict) -> tuple[np.ndarray, float, float] | None:
    """Returns the centres and the standard deviation of known modes, and a unit of length."""
    data = config.data
    if data.kind == "ring":
        return toys.ring_centres(data.ring.radius), data.ring.sd, data.ring.radius
    if data.kind == "grid25":
        return toys.grid_centres(data.grid25.spacing), data.grid25.sd, data.grid25.spacing
    return None


def _flat(values: np.ndarray) -> np.ndarray:
    """Returns points as they are, and images as rows of pixels from -1 to 1."""
    if values.ndim == 2:
        return values
    return values.reshape(len(values), -1) / (WHITE / 2) - 1
