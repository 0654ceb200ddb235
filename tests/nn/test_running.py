import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.nn import running
from jaxgan.nn.running import no_moments, running_moments


def test_the_moments_are_those_of_the_steps_so_far():
    x = np.random.default_rng(0).normal(3, 2, (2, 9, 4)).astype(np.float32)
    mean, variance, _ = running_moments(jnp.asarray(x), no_moments(2, 4))
    for step in range(9):
        so_far = x[:, : step + 1].astype(np.float64)
        np.testing.assert_allclose(mean[:, step], so_far.mean(1), atol=1e-6)
        np.testing.assert_allclose(variance[:, step], so_far.var(1), atol=1e-5)


def test_old_steps_are_forgotten(monkeypatch):
    monkeypatch.setattr(running, "REMEMBERED", 5)
    x = np.random.default_rng(1).normal(3, 2, (1, 40, 1)).astype(np.float32)
    mean, variance, _ = running_moments(jnp.asarray(x), no_moments(1, 1))
    # The first five steps weigh the same, and every later one a fifth of all that there is then.
    weights = np.concatenate([np.full(5, 0.8**35 / 5), 0.2 * 0.8 ** np.arange(34, -1, -1)])
    expected = np.sum(weights * x[0, :, 0])
    assert np.isclose(weights.sum(), 1)
    np.testing.assert_allclose(mean[0, -1, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(
        variance[0, -1, 0], np.sum(weights * (x[0, :, 0] - expected) ** 2), rtol=1e-5
    )


def test_pieces_give_what_the_whole_gives():
    x = jax.random.normal(jax.random.key(0), (2, 9, 3))
    mean, variance, after = running_moments(x, no_moments(2, 3))
    moments, pieces = no_moments(2, 3), []
    for piece in (x[:, :1], x[:, 1:6], x[:, 6:]):
        *found, moments = running_moments(piece, moments)
        pieces.append(found)
    for part, whole in zip(zip(*pieces, strict=True), (mean, variance), strict=True):
        np.testing.assert_allclose(jnp.concatenate(part, axis=1), whole, atol=1e-6)
    for part, whole in zip(moments, after, strict=True):
        np.testing.assert_allclose(part, whole, atol=1e-6)
