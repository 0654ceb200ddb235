"""The networks of StackGAN: conditioning augmentation, and what the generators and D depend on."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.core.compiling import INIT_OPTIONS
from jaxgan.core.state import Player
from jaxgan.images.networks import stacked

compiled = functools.partial(jax.jit, compiler_options=INIT_OPTIONS)
SIZE = 3


def stage(augmented):
    """A stage whose images are its conditions."""

    class Show(stacked.nn.Module):
        def __call__(self, codes, train):
            return codes

    return stacked.Stage(Show(), SIZE, augmented)


def test_conditions_have_a_diagonal_covariance_and_fill_the_gap_between_dense_texts():
    """A survey blames sparse embeddings, and writes of a covariance matrix; see docs/errata.md.

    Texts are few, however dense their embeddings are: without augmentation, conditions are as few.
    """
    texts = jax.random.normal(jax.random.key(0), (2, 5))  # none of their numbers is 0
    count, nothing = 20000, jnp.zeros((2, 0))

    @compiled
    def found():
        start = stage(True).init(jax.random.key(1), nothing, jnp.zeros((2, SIZE)), texts, True)
        noise = jax.random.normal(jax.random.key(2), (count, SIZE))
        _, mean, log_variance = stage(True).apply(start, nothing, noise[:2], texts, True)
        first = jnp.tile(texts[:1], (count, 1))
        drawn = [
            stage(augmented).apply(start, noise[:, :0], noise, first, True)[0]
            for augmented in (True, False)
        ]
        return mean, log_variance, *drawn

    mean, log_variance, augmented, plain = map(np.asarray, found())
    assert mean.shape == log_variance.shape == (2, SIZE), "a variance for each number"
    covariance = np.cov(augmented.T)
    np.testing.assert_allclose(np.diag(covariance), np.exp(log_variance[0]), rtol=0.05)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 0.05 * covariance.max()

    def nearer_to_the_other(conditions):
        apart = [np.linalg.norm(conditions - each, axis=1) for each in mean]
        return np.mean(apart[1] < apart[0])

    assert np.ptp(plain, axis=0).max() == 0
    assert nearer_to_the_other(plain) == 0
    assert nearer_to_the_other(augmented) > 0.02


def networks(**values):
    options = {"latent": 2, "condition": 2, "augmented": True, "features": 2, "smallest": 6}
    generator = stacked.Generators(
        (12, 12, 1), 2, blocks=1, normalisation="none", **(options | values)
    )
    return generator, stacked.TextDiscriminator(2, 3, "none")


def test_the_second_stage_makes_large_images_of_small_ones_and_reads_the_text_again():
    generator, _ = networks()
    text = jnp.eye(2, 4)
    codes = stacked.draw_codes(generator, jax.random.key(0), text)
    assert codes.shape == (2, 2 + 2 * 2 + 4)
    np.testing.assert_array_equal(codes[:, -4:], text)
    variables = compiled(generator.init)(jax.random.key(1), codes)
    assert set(variables["params"]) == set(stacked.PARTS.values())

    @compiled
    def found(variables, codes):
        small, *_ = generator.apply(variables, codes, False, method="small")
        other = codes.at[:, -4:].set(text[::-1])
        large, of_other_text = (
            generator.apply(variables, each, small, False, method="large")[0]
            for each in (codes, other)
        )
        without_z = codes.at[:, :4].set(0)  # z, and the noise of the first stage
        return (
            *(small, large, of_other_text, generator.apply(variables, codes, False)),
            generator.apply(variables, without_z, small, False, method="large")[0],
        )

    small, large, of_other_text, composed, same = found(variables, codes)
    assert (small.shape, large.shape) == ((2, 6, 6, 1), (2, 12, 12, 1))
    np.testing.assert_allclose(composed, large, atol=1e-6)
    np.testing.assert_array_equal(same, large)
    assert np.abs(of_other_text - large).max() > 0


def test_d_judges_an_image_with_each_text():
    _, discriminator = networks()
    images = jax.random.normal(jax.random.key(0), (2, 6, 6, 1))
    texts = jnp.eye(2, 4), jnp.eye(2, 4)[::-1]
    variables = compiled(discriminator.init)(jax.random.key(1), images, texts)
    player = Player(params=variables["params"], state={}, opt_state=())

    @compiled
    def found(player):
        together, _ = stacked.judge(discriminator, player, images, *texts)
        alone = [stacked.judge(discriminator, player, images, text)[0][0] for text in texts]
        return together, alone

    together, alone = found(player)
    assert together[0].shape == (2,)
    np.testing.assert_allclose(together, alone, rtol=1e-5)
    assert np.abs(together[0] - together[1]).min() > 0
