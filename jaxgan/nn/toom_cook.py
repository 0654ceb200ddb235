"""Correlations with fewer multiplications (Toom-Cook).

Known from Winograd's convolution; Lavin and Gray, "Fast Algorithms for Convolutional Neural
Networks", CVPR 2016.
"""

import functools

import numpy as np

TILE = 8
"""Inputs of a tile, and as many points.

More points would save multiplications, but cost digits: with 10 the errors pass 5e-6.
"""
# Of the form 0, ±1, ±2^k: they keep the constants small and exact.
POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)


@functools.cache
def toom_cook(taps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Constants of the 8-point correlation: A [m, 8], G [8, taps], B [8, 8], m = 9 - taps; float64.

    y = A ((G w) * (B x)) is y_i = sum over u of w_u x_(i + u), i < m. The transposed product of
    polynomials: values at `POINTS` and at infinity, products, interpolation. Rows are scaled by
    powers of two, so that G and B have entries near 1.
    """
    values = np.vander(POINTS, TILE, increasing=True)

    def evaluate(count: int) -> np.ndarray:
        at_infinity = np.eye(count)[-1:]
        return np.concatenate([values[:, :count], at_infinity])

    a, g, b = evaluate(TILE + 1 - taps).T, evaluate(taps), np.linalg.inv(evaluate(TILE)).T
    of_g = 2.0 ** np.round(np.log2(np.abs(g).sum(1)))
    of_b = 2.0 ** np.round(np.log2(np.abs(b).max(1) * of_g))
    return a * of_b, g / of_g[:, None], b * (of_g / of_b)[:, None]
