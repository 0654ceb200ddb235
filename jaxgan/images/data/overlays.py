"""Built-in pictures of two layers: white digits on coloured backgrounds, whose masks are known.

Every background changes smoothly between two colours that mix the same two of red, green and blue.
The third channel of a background is 0 everywhere, so the smallest channel of a pixel is the share
of the digit in it: `mask` reads the digit off a picture, also off a generated one.
"""

import numpy as np

from jaxgan.images.data import glyphs
from jaxgan.images.data.dataset import Images

STREAM = 5
"""Part of the seed, so that backgrounds are independent of the digits."""
BRIGHTNESS = (0.2, 0.9)
"""The range of a channel of a background, chosen by eye: coloured, but darker than any digit."""
WHITE = 255


def make(name: str, count: int, seed: int) -> Images:
    """Returns pictures, uint8 [count, 28, 28, 3], and the digit of each as its label.

    They depend only on the arguments and on matplotlib's fonts.

    Args:
        name: "train" or "valid".
        count: the number of pictures.
        seed: determines, together with `name`, everything random.
    """
    digits = glyphs.open_set(name, count, seed)
    random = np.random.default_rng((seed, STREAM, glyphs.STREAMS[name]))
    missing = random.integers(3, size=count)
    first, second = random.uniform(*BRIGHTNESS, (2, count, 3)).astype(np.float32)
    for colour in (first, second):
        colour[np.arange(count), missing] = 0
    angle = random.uniform(0, 2 * np.pi, (count, 1, 1)).astype(np.float32)
    along = np.linspace(-0.5, 0.5, glyphs.SIZE, dtype=np.float32)
    # From 0 to 1 across the picture, in any direction.
    share = 0.5 + (np.cos(angle) * along[:, None] + np.sin(angle) * along) / np.sqrt(2)
    share = share[..., None]
    background = (1 - share) * first[:, None, None] + share * second[:, None, None]
    digit = digits.values.astype(np.float32) / WHITE
    values = np.rint(WHITE * (background * (1 - digit) + digit)).astype(np.uint8)
    return Images(values, digits.labels, digits.classes)


def mask(values: np.ndarray) -> np.ndarray:
    """Returns where digits are, bool [n, H, W]: where at least half of a pixel is one.

    Args:
        values: uint8 [n, H, W, 3], pictures of this kind.
    """
    return values.min(axis=-1) > WHITE / 2
