"""Retrieval of images by sketches, in the features of a network, and its controls."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from scipy import ndimage

from jaxgan.core import devices
from jaxgan.core.compiling import Program
from jaxgan.core.errors import UserError
from jaxgan.core.state import Player, Players
from jaxgan.images.data.batches import WHITE, cover, to_bytes, to_floats
from jaxgan.images.data.dataset import Images
from jaxgan.images.data.edges import sketch
from jaxgan.images.evaluation.features import checked_pair
from jaxgan.images.evaluation.trained_classifier import BATCH, Classifier
from jaxgan.images.evaluation.validation import MeasurePlayers

Encode = Callable[[np.ndarray], np.ndarray]
"""Images, uint8 [n, H, W, C] -> their features, float [n, d]."""

NEAREST = 10
"""The images of the gallery that count for the precision of a query: the nearest ones."""
QUERIES, GALLERY = 1000, 8000
"""The most held-out images that become queries, and the most others of the gallery."""
COMPONENTS = 64
"""The components that the principal component analysis keeps."""
DISTORTIONS: Mapping[str, tuple[float, ...]] = {
    "shift": (1, 2, 3, 4),  # pixels to the right
    "rotation": (5, 10, 20, 30),  # degrees
    "scale": (0.7, 0.85, 1.15, 1.3),
}
"""How much sketches are distorted for the curves of invariance."""


class Task(NamedTuple):
    """Sketches, and the images that they retrieve.

    Attributes:
        sketches: uint8 [q, H, W, C], edges of images that are not in the gallery.
        labels: int [q], their classes.
        photos: uint8 [n, H, W, C], the gallery.
        edges: uint8 [n, H, W, C], the edges of the gallery.
        gallery_labels: int [n].
    """

    sketches: np.ndarray
    labels: np.ndarray
    photos: np.ndarray
    edges: np.ndarray
    gallery_labels: np.ndarray


def make_task(images: Images, mesh: Mesh) -> Task:
    """Returns a task of images that have labels: a fifth of them, at most, become sketches.

    Args:
        images: the held-out images.
        mesh: the devices.

    Raises:
        UserError: they are points, there are too few for `NEAREST`, or some have no label.
    """
    if images.values.ndim != 4:
        raise UserError("config.data.kind: sketches are made of images, and these data are points")
    if (images.labels < 0).any():
        raise UserError("config.data.kind: retrieval is measured by classes; use labelled images")
    queries = min(QUERIES, len(images) // 5)
    if len(images) - queries < NEAREST or not queries:
        raise UserError(f"held-out images: {len(images)} are too few; use at least {2 * NEAREST}")
    chosen = images.values[: queries + GALLERY]
    labels = images.labels[: queries + GALLERY]
    edges = _sketches(chosen, mesh)
    return Task(
        edges[:queries], labels[:queries], chosen[queries:], edges[queries:], labels[queries:]
    )


def _sketches(values: np.ndarray, mesh: Mesh) -> np.ndarray:
    """Returns the edges of images, uint8 [n, H, W, C]."""
    program = Program(
        lambda values: to_bytes(sketch(to_floats(values))),
        mesh,
        out_shardings=devices.replicated(mesh),
    )
    placed = devices.put_replicated([values[rows] for rows in cover(len(values), BATCH)], mesh)
    return np.concatenate(jax.device_get([program(batch) for batch in placed]))[: len(values)]


def precision(
    queries: np.ndarray,
    gallery: np.ndarray,
    labels: np.ndarray,
    gallery_labels: np.ndarray,
    nearest: int = NEAREST,
) -> float:
    """Returns P@k: the share of the k nearest of the gallery that have the class of the query.

    Images are ranked by the cosine of the angle between features.

    Args:
        queries: float [q, d], features of the queries.
        gallery: float [n, d].
        labels: int [q].
        gallery_labels: int [n].
        nearest: k, at most n.

    Raises:
        UserError: features are not finite or do not match.
    """
    gallery, queries = (_unit(features) for features in checked_pair(gallery, queries))
    if nearest < len(gallery):
        order = np.argpartition(-(queries @ gallery.T), nearest - 1, axis=1)[:, :nearest]
    else:
        order = np.broadcast_to(np.arange(len(gallery)), (len(queries), len(gallery)))
    return float(np.mean(gallery_labels[order] == labels[:, None]))


def _unit(rows: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)


def distorted(images: np.ndarray, kind: str, amount: float) -> np.ndarray:
    """Returns images that are moved, turned or resized around their centre, on a dark background.

    Args:
        images: uint8 [n, H, W, C].
        kind: a name in `DISTORTIONS`.
        amount: an amount in `DISTORTIONS`.
    """
    turn, size, move = np.eye(2), 1.0, np.zeros(2)
    if kind == "rotation":
        angle = np.deg2rad(amount)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    elif kind == "scale":
        size = amount
    else:
        move[1] = amount
    centre = (np.array(images.shape[1:3]) - 1) / 2
    # From a pixel of the result to its place in the image.
    inverse = turn.T / size
    whole, offset = np.eye(4), np.zeros(4)
    whole[1:3, 1:3], offset[1:3] = inverse, centre - inverse @ (centre + move)
    made = ndimage.affine_transform(images.astype(np.float32), whole, offset, order=1)
    return np.rint(np.clip(made, 0, WHITE)).astype(np.uint8)


def pixels(images: np.ndarray) -> np.ndarray:
    """Returns images as rows of pixels from 0 to 1, float64 [n, d]."""
    return images.reshape(len(images), -1) / WHITE


def principal_components(images: np.ndarray) -> Encode:
    """Returns the projection on the principal components of images, `COMPONENTS` at most.

    Args:
        images: uint8 [n, H, W, C].
    """
    rows = pixels(images)
    mean = rows.mean(axis=0)
    # The eigenvectors of the greatest eigenvalues are the last ones.
    axes = np.linalg.eigh(np.cov(rows, rowvar=False))[1][:, -COMPONENTS:]
    return lambda values: (pixels(values) - mean) @ axes


def measure_retrieval(
    task: Task, sketches: np.ndarray, photos: np.ndarray, edges: np.ndarray
) -> dict[str, float]:
    """Returns P@10 of sketches among photos, `p10`, and among the edges of photos, `p10_edges`.

    Args:
        task: see `Task`.
        sketches: float [q, d], features of the task's sketches.
        photos: float [n, d], features of its photos.
        edges: float [n, d], features of their edges.
    """
    found = {"p10": photos, "p10_edges": edges}
    return {
        name: precision(sketches, gallery, task.labels, task.gallery_labels)
        for name, gallery in found.items()
    }


def measure_encoder(
    encode: Callable[[Player, jax.Array], jax.Array], name: str, valid: Images, mesh: Mesh
) -> MeasurePlayers:
    """Returns a function that measures an encoder: `eval/p10`, the objective, and `eval/p10_edges`.

    Args:
        encode: (the player, whose `params` are those to use; x float32 [B, H, W, C]) -> features
            [B, d]; pure.
        name: the name of the player.
        valid: the held-out images.
        mesh: the devices.

    Raises:
        UserError: as for `make_task`.
    """
    task, encoder = make_task(valid, mesh), Classifier(encode, mesh)

    def start(players: Players) -> Callable[[], tuple[dict[str, float], float]]:
        images = task.sketches, task.photos, task.edges
        waits = [encoder(players[name], values) for values in images]

        def wait() -> tuple[dict[str, float], float]:
            found = measure_retrieval(task, *(wait() for wait in waits))
            return {f"eval/{metric}": value for metric, value in found.items()}, found["p10"]

        return wait

    return start


def invariance(encode: Encode, task: Task) -> dict[str, float]:
    """Returns P@10 of distorted sketches among the edges of photos, such as `p10_edges_shift_2`.

    Args:
        encode: see `Encode`.
        task: see `Task`.
    """
    gallery, found = encode(task.edges), {}
    for kind, amounts in DISTORTIONS.items():
        for amount in amounts:
            queries = encode(distorted(task.sketches, kind, amount))
            found[f"p10_edges_{kind}_{amount:g}"] = precision(
                queries, gallery, task.labels, task.gallery_labels
            )
    return found
