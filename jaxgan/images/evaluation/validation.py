"""Validation of a generator: samples from fixed latent codes, measured against held-out data."""

import math
from collections.abc import Callable, Mapping

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxgan.core import devices
from jaxgan.core.compiling import Program
from jaxgan.core.errors import UserError
from jaxgan.core.recipe import Evaluation
from jaxgan.core.state import Player, Players, RunState
from jaxgan.images.data import toys
from jaxgan.images.data.batches import WHITE, cover, to_bytes
from jaxgan.images.data.dataset import Images
from jaxgan.images.evaluation.birthday import CALIBRATION, count_duplicates
from jaxgan.images.evaluation.diversity import class_diversity
from jaxgan.images.evaluation.feature_metrics import FeatureMetrics
from jaxgan.images.evaluation.features import checked_pair
from jaxgan.images.evaluation.grids import image_grid
from jaxgan.images.evaluation.kernel import squared_discrepancy
from jaxgan.images.evaluation.modes import mode_coverage
from jaxgan.images.evaluation.neighbours import nearest
from jaxgan.reporting import media

BATCH = 500
"""The most samples that one call of a program draws."""
SHOWN = 64
"""The number of images in the grid that TensorBoard shows."""
SUBSET = 1000
"""The most images or points, real and generated, in the kernel distance."""
LOOSE = 0.35
"""How near to a mode a sample must be to count for a loose mode, in radii of the ring or spacings
of the grid."""
COMPARED, LEAST_COMPARED = 250, 16
"""The most samples that are compared with all training images, and the fewest that are
meaningful."""
PRODUCTS = 5e9
"""The most products of pixels in that comparison, which take less than a second on two cores."""
CHUNK = 5000
"""Training images that are compared at a time."""

Evaluate = Callable[[RunState, int], Callable[[], Evaluation]]
"""As `Recipe.evaluate`."""
Sample = Callable[[Player, jax.Array, jax.Array], jax.Array]
"""(the generator, whose `params` are those to use; key; int32 [B], the class of each sample, which
unconditional systems ignore) -> float32 [B, *shape], images from -1 to 1 or points; pure."""
MeasurePlayers = Callable[[Players], Callable[[], tuple[dict[str, float], float]]]
"""(the players) -> a function that waits for metrics by name and for the objective, of which higher
is better. Computations that need the players are dispatched at once."""


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
            seed: the seed of the latent codes.

        Returns:
            A function that waits for the samples: uint8 [n, H, W, C] or float32 [n, 2].
        """
        deployed = player.without_training()
        count, batches = len(labels), labels[cover(len(labels), BATCH)]
        keys = jax.random.split(jax.random.key(seed), len(batches))
        placed = devices.put_replicated(list(zip(keys, batches, strict=True)), self._mesh)
        drawn = [self._program(deployed, *inputs) for inputs in placed]
        return lambda: np.concatenate(jax.device_get(drawn))[:count]


class SampleMetrics:
    """Measures samples of a run.

    Args:
        config: the config of the run; with `features`, samples are also measured in the features of
            that classifier.
        train: the training data.
        valid: the held-out data.
        mesh: the devices.
        conditional: whether samples are drawn for given classes.

    Attributes:
        files: the file that identifies the classifier, for `Recipe.files`.

    Raises:
        UserError: `config.features` cannot be used.
    """

    def __init__(
        self, config: ConfigDict, train: Images, valid: Images, mesh: Mesh, conditional: bool
    ) -> None:
        self._config, self._train, self._valid = config, train, valid
        self._conditional = conditional
        self._in_features: FeatureMetrics | None = None
        self._held_out: float | None = None
        self.files: Mapping[str, bytes] = {}
        if config.features:
            self._in_features = FeatureMetrics(config, valid, mesh, conditional)
            self.files = self._in_features.files

    def __call__(self, samples: np.ndarray, labels: np.ndarray) -> tuple[dict[str, float], float]:
        """Returns the metrics of samples by name, and the objective, of which higher is better.

        Args:
            samples: uint8 [n, H, W, C] or float32 [n, 2].
            labels: int [n], the classes that G received, if the system is conditional.
        """
        metrics, objective = measure(samples, self._valid, self._config)
        if self._in_features:
            in_features, objective = self._in_features(samples, labels)
            metrics = in_features | metrics
        metrics = metrics | self._distances(samples)
        if self._conditional:
            real, fake = _flat(self._valid.values), _flat(samples)
            metrics["eval/class_diversity"] = class_diversity(
                real, self._valid.labels, fake, labels
            )
        return metrics, objective

    def duplicates(self, samples: np.ndarray) -> dict[str, float]:
        """Returns how often images occur twice among samples; see `birthday.count_duplicates`.

        Images are compared in the features of the classifier if there is one, otherwise in pixels.
        The result is empty for points, since those of a continuous distribution are never equal,
        and if equal held-out images leave no threshold.

        Args:
            samples: uint8 [n, H, W, C] or float32 [n, 2].
        """
        if samples.ndim != 4:
            return {}
        features = self._in_features.features if self._in_features else _flat
        real, fake = features(self._valid.values[:CALIBRATION]), features(samples)
        try:
            found = count_duplicates(real, fake, len(self._train))
        except UserError:
            return {}
        return {f"eval/{name}": value for name, value in found.items()}

    def _distances(self, samples: np.ndarray) -> dict[str, float]:
        """How near samples are to training images, in pixels, if that is fast to compute."""
        count = min(COMPARED, int(PRODUCTS / self._train.values.size), len(samples))
        count = min(count, len(self._valid))
        if samples.ndim != 4 or count < LEAST_COMPARED:
            return {}
        if self._held_out is None:
            self._held_out = _nearest(self._valid.values[:count], self._train.values)
        distance = _nearest(samples[:count], self._train.values)
        return {
            "eval/training_distance": distance,
            "eval/training_distance_ratio": distance / self._held_out,
        }


class Validation:
    """Validates the generators of a run.

    Args:
        config: the config of the run; `validation.samples` is the number of samples to measure.
        classes: the number of classes of the data.
        sampler: draws from the generator.
        metrics: the metrics of the samples.
        seed: the seed of the latent codes.
    """

    def __init__(
        self,
        config: ConfigDict,
        classes: int,
        sampler: Sampler,
        metrics: SampleMetrics,
        seed: int,
    ) -> None:
        self._seed = seed
        self._labels = every_class(config.validation.samples, classes)
        self._sampler, self._metrics = sampler, metrics

    def __call__(self, state: RunState, number: int) -> Callable[[], Evaluation]:
        """Starts the validation of round `number`. The latent codes are the same in all rounds."""
        drawn = self._sampler(state.players["generator"], self._labels, self._seed)

        def wait() -> Evaluation:
            samples = drawn()
            metrics, objective = self._metrics(samples, self._labels)
            shown = {}
            if samples.ndim == 4:
                shown = {"samples": media.image(image_grid(samples[:SHOWN]))}
            return Evaluation(metrics, objective, shown)

        return wait


def of_players(measure_players: MeasurePlayers) -> Evaluate:
    """Returns a validation that measures the players, not their samples."""

    def evaluate(state: RunState, number: int) -> Callable[[], Evaluation]:
        measured = measure_players(state.players)
        return lambda: Evaluation(*measured())

    return evaluate


def both(first: Evaluate, second: Evaluate) -> Evaluate:
    """Returns a validation that reports what both do.

    The objective is that of the first, or, if that is NaN, that of the second.
    """

    def evaluate(state: RunState, number: int) -> Callable[[], Evaluation]:
        waits = first(state, number), second(state, number)

        def wait() -> Evaluation:
            one, other = (wait() for wait in waits)
            return Evaluation(
                {**one.metrics, **other.metrics},
                other.objective if math.isnan(one.objective) else one.objective,
                {**one.media, **other.media},
            )

        return wait

    return evaluate


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
        config: the config of the run.
    """
    mixture = _mixture(config)
    if mixture:
        centres, sd, unit = mixture
        found = mode_coverage(samples, centres, sd, LOOSE * unit)
        metrics = {f"eval/{name}": float(value) for name, value in found._asdict().items()}
        return metrics, -found.reverse_kl
    real, fake = (_flat(values[:SUBSET]) for values in (valid.values, samples))
    distance = squared_discrepancy(*checked_pair(real, fake))
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


def _nearest(queries: np.ndarray, train: np.ndarray) -> float:
    """Returns the mean Euclidean distance of images to the nearest training image."""
    rows = _flat(queries)
    chunks = (train[start : start + CHUNK] for start in range(0, len(train), CHUNK))
    distances = [nearest(rows, _flat(chunk))[0] for chunk in chunks]
    return float(np.min(distances, axis=0).mean())


def _flat(values: np.ndarray) -> np.ndarray:
    """Returns points as they are, and images as rows of pixels from -1 to 1."""
    if values.ndim == 2:
        return values
    return values.reshape(len(values), -1) / (WHITE / 2) - 1
