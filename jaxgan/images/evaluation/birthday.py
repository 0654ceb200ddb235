"""The birthday test: how many different images a generator makes (Arora and Zhang 2017).

If half of the batches of s samples contain the same image twice, the generator makes about
s^2 / (2 ln 2) images. In the paper, people look at the closest pairs; here two samples are the same
image if they are closer than different real images are to each other.
"""

import math
from dataclasses import dataclass

import numpy as np

from jaxgan.core.errors import UserError
from jaxgan.images.evaluation.features import checked
from jaxgan.images.evaluation.neighbours import closest_pairs, first_collision

REPEATS = 20
"""See `birthday_test`."""
FALSE_COLLISIONS = 0.05
"""See `collision_threshold`."""
LEAST = 20
"""The fewest samples of a batch; they can distinguish at most 290 images from more."""
CALIBRATION = 2500
"""The most held-out images of which all pairs are compared, which takes a second on a CPU."""


@dataclass(frozen=True)
class BirthdayTest:
    """The result of a test.

    Attributes:
        first_collisions: float [repeats], the number of samples that each repeat drew until two
            were the same; infinity if none were.
        samples: the number of samples that each repeat could draw.
        size: the number s at which half of the repeats had a collision; infinity if fewer had one.
        support: estimate of the number of different images, s^2 / (2 ln 2); infinity if s is.
    """

    first_collisions: np.ndarray
    samples: int
    size: float
    support: float


def collision_probability(samples: int, support: float, mass: float = 1.0) -> float:
    """Returns about how probable it is that two of several samples are the same image.

    It is 1 - exp(-M (M - 1) mass^2 / (2 N)). The bound in the paper's theorem 1, with M^2 mass in
    the exponent, does not hold for a mass below 1: both samples of a pair must be among the N.

    Args:
        samples: M, how many are drawn.
        support: N, the number of images, all equally probable.
        mass: the probability that a sample is one of them; all others are different.
    """
    return -math.expm1(-samples * (samples - 1) * mass**2 / (2 * support))


def collision_threshold(
    held_out: np.ndarray, samples: int, false_collisions: float = FALSE_COLLISIONS
) -> float:
    """Returns the distance below which two samples count as the same image.

    Among as many real images as a repeat draws samples, the expected number of pairs closer than
    this is at most `false_collisions`.

    Args:
        held_out: float [n, d], features of real images; at least samples / sqrt(false_collisions).
        samples: the largest number that a repeat of the test draws.
        false_collisions: expected number of pairs of different images below the threshold.

    Raises:
        UserError: features are not finite, there are too few, or so many real images are equal that
            no threshold is left.
    """
    held_out = checked(held_out, "held-out features")
    count = len(held_out)
    rank = int(false_collisions * count * (count - 1) / (samples * (samples - 1)))
    if rank < 1:
        needed = math.ceil(samples / math.sqrt(false_collisions))
        raise UserError(
            f"held-out features: {count} images cannot calibrate the birthday test of {samples} "
            f"samples; use about {needed} images or fewer samples"
        )
    threshold = float(closest_pairs(held_out, rank)[0][-1])
    if threshold == 0:
        raise UserError(
            f"held-out features: {rank} pairs of images are equal, so the birthday test has no "
            "threshold; remove duplicates or use other features"
        )
    return threshold


def birthday_test(features: np.ndarray, threshold: float) -> BirthdayTest:
    """Returns the estimate of how many different images a generator makes.

    Args:
        features: float [repeats, n, d], of independent samples in the order they were drawn; 20
            repeats give the estimate within about a factor of 2.
        threshold: the result of `collision_threshold` for n samples.

    Raises:
        UserError: features are not finite.
    """
    found = np.array(
        [
            first_collision(checked(batch, f"generated features of repeat {repeat}"), threshold)
            for repeat, batch in enumerate(features, start=1)
        ]
    )
    size = float(np.median(found))
    return BirthdayTest(found, features.shape[1], size, size**2 / (2 * math.log(2)))


def count_duplicates(
    held_out: np.ndarray, samples: np.ndarray, trained_on: int
) -> dict[str, float]:
    """Returns the results of the birthday test by name, if there are enough samples.

    The samples are divided into `REPEATS` batches. Two of a batch count as the same image if they
    are closer than a threshold, which is calibrated on real images that were not trained on: in a
    batch of those, `collision_threshold` expects 0.05 such pairs. So a generator whose images are
    all different has a collision in about one batch of twenty. Names:

        birthday_samples         of a batch
        birthday_collisions      the share of batches in which an image occurs twice
        birthday_of_copies       the same for a generator that copies training images equally often
        birthday_support         about how many images the generator makes; infinity if fewer than
                                 half of the batches have one twice, that is, for more images than
                                 the batch can tell, about 0.72 of its square

    Args:
        held_out: float [n, d], features of real images; the first `CALIBRATION` are used.
        samples: float [m, d], of generated images.
        trained_on: the number of training images.

    Returns:
        Nothing if fewer than `LEAST` samples, or too few held-out images, fall on a batch.
    """
    held_out = held_out[:CALIBRATION]
    size = min(len(samples) // REPEATS, int(len(held_out) * math.sqrt(FALSE_COLLISIONS)))
    if size < LEAST:
        return {}
    threshold = collision_threshold(held_out, size, FALSE_COLLISIONS)
    batches = samples[: REPEATS * size].reshape(REPEATS, size, -1)
    found = birthday_test(batches, threshold)
    return {
        "birthday_samples": size,
        "birthday_collisions": float(np.isfinite(found.first_collisions).mean()),
        "birthday_of_copies": collision_probability(size, trained_on),
        "birthday_support": found.support,
    }
