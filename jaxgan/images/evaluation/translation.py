"""How well images are translated, compared with their partners or, without pairs, as a set.

| metric | what it is |
|---|---|
| `l1` | the mean absolute difference from the partner, white being 1 |
| `psnr` | the peak signal-to-noise ratio in dB, the mean over images |
| `ssim` | the structural similarity of Wang et al. 2004, the mean over images |
| `sharpness` | the energy of differences of neighbouring pixels, over that of real images |
| `kid_pixels` | the kernel distance to the real images of the domain, in pixels |
| `feature_distance` | the mean distance of the features of two partners in `config.features` |
| `distance_correlation` | the correlation of distances between images before and after |

Every name ends in the direction, such as `eval/l1_a_to_b`.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from jax.sharding import Mesh

from jaxgan.core import devices
from jaxgan.core.compiling import Program
from jaxgan.core.state import Players
from jaxgan.images.data.batches import WHITE, cover, to_bytes, to_floats
from jaxgan.images.data.domains import Domains
from jaxgan.images.evaluation.distances import distance_correlation
from jaxgan.images.evaluation.grids import image_grid
from jaxgan.images.evaluation.kernel import squared_discrepancy

BATCH = 16
"""The most images that one call of a program translates."""
SSIM_WINDOW = 11
"""The least side of an image that has a structural similarity: the window of Wang et al. 2004."""

Translate = Callable[[Players, jax.Array, jax.Array], jax.Array]
"""(the players, whose `params` are those to use; images float32 [B, S, S, C] from -1 to 1; key) ->
images of the other domain, of the same shape; pure."""


class Translators:
    """Translates images in batches of one size.

    Args:
        translations: for each direction, the function that translates.
        mesh: the devices.
    """

    def __init__(self, translations: Mapping[str, Translate], mesh: Mesh) -> None:
        self._programs = {
            direction: _program(translate, mesh) for direction, translate in translations.items()
        }
        self._mesh = mesh

    def __call__(
        self, direction: str, players: Players, values: np.ndarray, seed: int
    ) -> Callable[[], np.ndarray]:
        """Starts to translate images.

        Args:
            direction: one of those given.
            players: the players, on the devices; their running averages are used if they have any.
            values: uint8 [n, S, S, C], n at least 1.
            seed: the seed of the noise, for generators that use noise.

        Returns:
            A function that waits for the results, uint8 [n, S, S, C].
        """
        deployed = {name: player.without_training() for name, player in players.items()}
        rows = cover(len(values), BATCH)
        keys = jax.random.split(jax.random.key(seed), len(rows))
        inputs = [(values[batch], key) for batch, key in zip(rows, keys, strict=True)]
        program = self._programs[direction]
        made = [program(deployed, *batch) for batch in devices.put_replicated(inputs, self._mesh)]
        return lambda: np.concatenate(jax.device_get(made))[: len(values)]


def _program(translate: Translate, mesh: Mesh) -> Program:
    def translated(players: Players, values: jax.Array, key: jax.Array) -> jax.Array:
        return to_bytes(translate(players, to_floats(values), key))

    return Program(translated, mesh, out_shardings=devices.replicated(mesh))


class TranslationMetrics:
    """Measures translations of held-out images.

    Args:
        valid: the held-out set.
        count: the most images of each domain that are translated.
        directions: "a_to_b", "b_to_a", or both.
        paired: whether the objective may use pairs: minus the mean `l1`. Otherwise it is minus the
            mean `kid_pixels`, also if there are pairs, which are then only reported.
        features: uint8 [n, S, S, C] -> float32 [n, d], the features of a classifier, or None.

    Attributes:
        sources: for each direction, the images to translate, uint8 [n, S, S, C].
    """

    def __init__(
        self,
        valid: Domains,
        count: int,
        directions: Sequence[str],
        paired: bool,
        features: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        domains = {"a": valid.a[:count], "b": valid.b[:count]}
        self.sources = {direction: domains[direction[0]] for direction in directions}
        self._real = {direction: domains[direction[-1]] for direction in directions}
        self._paired, self._objective = valid.paired, "l1" if paired else "kid_pixels"
        self._features = features

    def __call__(self, outputs: Mapping[str, np.ndarray]) -> tuple[dict[str, float], float]:
        """Returns the metrics by name, and the objective, of which higher is better.

        Args:
            outputs: for each direction, the translated `sources`, uint8 [n, S, S, C].
        """
        found: dict[str, float] = {}
        objectives = []
        for direction, made in outputs.items():
            real = self._real[direction]
            metrics = of_pairs(made, real) if self._paired else {}
            metrics |= of_sets(made, real)
            if self._paired and self._features:
                apart = self._features(made) - self._features(real)
                metrics["feature_distance"] = float(np.linalg.norm(apart, axis=-1).mean())
            metrics["distance_correlation"] = distance_correlation(self.sources[direction], made)
            objectives.append(-metrics[self._objective])
            found |= {f"eval/{name}_{direction}": value for name, value in metrics.items()}
        return found, float(np.mean(objectives))

    def beside(self, outputs: Mapping[str, np.ndarray], count: int) -> dict[str, list[np.ndarray]]:
        """Returns inputs, outputs and, where there are pairs, targets of each direction."""
        return {
            direction: [
                each[:count]
                for each in (
                    self.sources[direction],
                    made,
                    *([self._real[direction]] if self._paired else []),
                )
            ]
            for direction, made in outputs.items()
        }


def comparison_grid(*columns: np.ndarray) -> np.ndarray:
    """Returns a picture in which images of the same number are side by side, uint8 [H, W, 3].

    Args:
        columns: uint8 [n, S, S, C] each.
    """
    rows = np.stack(columns, axis=1)
    across = len(columns) * max(round(math.sqrt(len(rows) / len(columns))), 1)
    return image_grid(rows.reshape(-1, *rows.shape[2:]), columns=across)


def of_pairs(made: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """Returns `l1`, `psnr` and `ssim` of images compared with their partners.

    The squared error of an image counts as at least that of rounding to bytes, 1/12, so that equal
    images have a finite ratio. `ssim` is NaN if images are smaller than its window.

    Args:
        made: uint8 [n, H, W, C].
        real: uint8 [n, H, W, C].
    """
    from skimage.metrics import structural_similarity  # slow to import, and not always needed

    difference = made.astype(np.float64) - real
    squared = np.maximum(np.mean(difference**2, axis=(1, 2, 3)), 1 / 12)
    similarity = math.nan
    if min(made.shape[1:3]) >= SSIM_WINDOW:
        similarity = float(
            np.mean(
                [
                    structural_similarity(
                        *pair,
                        channel_axis=-1,
                        data_range=WHITE,
                        # The window of the paper.
                        gaussian_weights=True,
                        sigma=1.5,
                        use_sample_covariance=False,
                    )
                    for pair in zip(made, real, strict=True)
                ]
            )
        )
    return {
        "l1": float(np.mean(np.abs(difference)) / WHITE),
        "psnr": float(np.mean(10 * np.log10(WHITE**2 / squared))),
        "ssim": similarity,
    }


def of_sets(made: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """Returns `sharpness` and `kid_pixels` of images compared with the real ones of their domain.

    `kid_pixels` is NaN if there are fewer than two images, and `sharpness` if all real images are
    of a single colour.

    Args:
        made: uint8 [n, H, W, C].
        real: uint8 [m, H, W, C].
    """
    energy = _gradient_energy(real)
    rows = [each.reshape(len(each), -1) / (WHITE / 2) - 1 for each in (made, real)]
    enough = min(map(len, rows)) >= 2
    return {
        "sharpness": _gradient_energy(made) / energy if energy else math.nan,
        "kid_pixels": squared_discrepancy(*rows) if enough else math.nan,
    }


def _gradient_energy(images: np.ndarray) -> float:
    values = images.astype(np.float64)
    return float(np.mean(np.diff(values, axis=1) ** 2) + np.mean(np.diff(values, axis=2) ** 2))
