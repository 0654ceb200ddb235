"""The table of adversarial losses, against formulas in float64 and the papers' identities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.core.errors import UserError
from jaxgan.methods.adversarial import LOSSES, check_combination, pair_margin

RANDOM = np.random.default_rng(0)
REAL, FAKE = 2 * RANDOM.normal(size=(2, 32))
MARGINS = RANDOM.uniform(0, 2, size=32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def positive(x):
    return np.maximum(x, 0)


def leaky(x, nu):
    return np.where(x > 0, x, nu * x)


def pairs(nu, weight):
    return lambda r, f: weight * r.mean() + leaky(MARGINS + r - f, nu).mean()


def cross_entropy(target):
    return lambda r, f: (
        -(
            target * np.log(sigmoid(r))
            + (1 - target) * np.log(1 - sigmoid(r))
            + np.log(1 - sigmoid(f))
        ).mean()
    )


CASES = {
    "minimax": (cross_entropy(1), {}, lambda f: np.log(1 - sigmoid(f)).mean()),
    "minimax-smooth": (cross_entropy(0.9), {"smoothing": 0.1}, None),
    "non_saturating": (cross_entropy(1), {}, lambda f: -np.log(sigmoid(f)).mean()),
    "non_saturating-smooth": (cross_entropy(0.8), {"smoothing": 0.2}, None),
    "least_squares": (
        lambda r, f: 0.5 * ((r - 1) ** 2).mean() + 0.5 * (f**2).mean(),
        {},
        lambda f: 0.5 * ((f - 1) ** 2).mean(),
    ),
    "wasserstein": (lambda r, f: f.mean() - r.mean(), {}, lambda f: -f.mean()),
    "hinge": (
        lambda r, f: positive(1 - r).mean() + positive(1 + f).mean(),
        {},
        lambda f: -f.mean(),
    ),
    "loss_sensitive": (pairs(0, 0), {"margin": jnp.asarray(MARGINS)}, lambda f: f.mean()),
    "loss_sensitive-weight": (
        pairs(0.25, 0.5),
        {"margin": jnp.asarray(MARGINS), "nu": 0.25, "real_weight": 0.5},
        None,
    ),
    "margin": (lambda r, f: r.mean() + positive(1.5 - f).mean(), {"margin": 1.5}, np.mean),
}


def slope(function, x, step=1e-6):
    """The gradient by central differences, in float64."""
    steps = step * np.eye(len(x))
    return np.array([(function(x + s) - function(x - s)) / (2 * step) for s in steps])


def test_every_loss_has_a_case():
    assert {name.split("-")[0] for name in CASES} == set(LOSSES)


@pytest.mark.parametrize("case", CASES)
def test_the_loss_of_the_discriminator_is_the_formula(case):
    expected, options, _ = CASES[case]
    loss = LOSSES[case.split("-")[0]].discriminator
    step = jax.jit(jax.value_and_grad(lambda r, f: loss(r, f, **options), argnums=(0, 1)))
    found, (on_real, on_fake) = step(jnp.asarray(REAL), jnp.asarray(FAKE))
    assert float(found) == pytest.approx(expected(REAL, FAKE), rel=1e-5)
    np.testing.assert_allclose(on_real, slope(lambda r: expected(r, FAKE), REAL), atol=1e-6)
    np.testing.assert_allclose(on_fake, slope(lambda f: expected(REAL, f), FAKE), atol=1e-6)


@pytest.mark.parametrize("case", [name for name, case in CASES.items() if case[2]])
def test_the_loss_of_the_generator_is_the_formula(case):
    expected = CASES[case][2]
    found, gradient = jax.jit(jax.value_and_grad(LOSSES[case].generator))(jnp.asarray(FAKE))
    assert float(found) == pytest.approx(expected(FAKE), rel=1e-5)
    np.testing.assert_allclose(gradient, slope(expected, FAKE), atol=1e-6)


@pytest.mark.parametrize("name", ["minimax", "non_saturating"])
def test_logits_far_from_0_give_finite_losses(name):
    far = jnp.array([-200.0, 200.0])
    loss = LOSSES[name]

    def both(real, fake):
        return loss.discriminator(real, fake) + loss.generator(fake)

    found = jax.jit(jax.value_and_grad(both, argnums=(0, 1)))(far, far)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


def optimal_outputs(p, q):
    """The outputs of the optimal discriminator on 8 samples of p and on 8 of q."""
    logits = np.log(p) - np.log(q)
    return [jnp.asarray(np.repeat(logits, (8 * shares).astype(int))) for shares in (p, q)]


def test_minimax_at_the_optimum_measures_the_jensen_shannon_divergence():
    p, q = np.array([1, 1, 2, 4]) / 8, np.array([3, 2, 2, 1]) / 8
    middle = (p + q) / 2
    divergence = (np.sum(p * np.log(p / middle)) + np.sum(q * np.log(q / middle))) / 2
    real, fake = optimal_outputs(p, q)
    found = float(LOSSES["minimax"].discriminator(real, fake))
    assert -found == pytest.approx(2 * divergence - 2 * np.log(2), rel=1e-5)
    # G lowers what D has raised: its own term is the rest of minus D's loss.
    on_real = -np.mean(np.log1p(np.exp(-np.asarray(real, float))))
    own = float(LOSSES["minimax"].generator(fake))
    assert own + on_real == pytest.approx(2 * divergence - 2 * np.log(2), rel=1e-5)


def test_only_the_label_of_real_samples_is_smoothed():
    """On two equal distributions the optimum is D = (1 - smoothing) / 2, not 1 / 2."""
    loss = LOSSES["non_saturating"].discriminator
    output = jnp.log(0.45 / 0.55)
    gradient = jax.jit(jax.grad(lambda x: loss(x[None], x[None], smoothing=0.1)))(output)
    assert float(gradient) == pytest.approx(0, abs=1e-6)
    # Where there are no data, the target stays 0: D falls however low it is.
    falls = jax.jit(jax.grad(lambda f: loss(jnp.zeros(1), f, smoothing=0.1)))(jnp.array([-8.0]))
    assert float(falls[0]) > 0


def test_the_generator_of_minimax_saturates_and_the_other_does_not():
    rejected = jnp.array([-20.0])
    assert abs(float(jax.grad(LOSSES["minimax"].generator)(rejected)[0])) < 1e-8
    assert float(jax.grad(LOSSES["non_saturating"].generator)(rejected)[0]) == pytest.approx(-1)


def test_loss_sensitive_with_nu_1_has_the_gradient_of_wasserstein():
    """A critic is minus an energy."""
    energies = jnp.asarray(REAL), jnp.asarray(FAKE)
    loss = LOSSES["loss_sensitive"].discriminator
    found = jax.grad(lambda r, f: loss(r, f, margin=jnp.asarray(MARGINS), nu=1.0), (0, 1))
    expected = jax.grad(lambda r, f: LOSSES["wasserstein"].discriminator(-r, -f), (0, 1))
    for own, other in zip(found(*energies), expected(*energies), strict=True):
        np.testing.assert_array_equal(own, other)


def test_pairs_with_their_margin_have_no_gradient():
    real = jnp.zeros(4)
    fake = jnp.array([0.5, 1.5, 2.5, 3.5])
    loss = LOSSES["loss_sensitive"].discriminator
    gradient = jax.grad(lambda f: loss(real, f, margin=jnp.full(4, 2.0)))(fake)
    np.testing.assert_allclose(gradient, [-0.25, -0.25, 0, 0])


def test_the_margin_of_a_pair_is_its_distance_and_a_constant():
    x, y = RANDOM.normal(size=(2, 3, 4, 4, 2))
    found = pair_margin(jnp.asarray(x), jnp.asarray(y), 0.5)
    np.testing.assert_allclose(found, 0.5 * np.abs(x - y).sum(axis=(1, 2, 3)), rtol=1e-5)

    def of_samples(samples):
        margin = pair_margin(samples, jnp.asarray(y), 0.5)
        return LOSSES["loss_sensitive"].discriminator(jnp.ones(3), jnp.zeros(3), margin=margin)

    assert not np.any(jax.grad(of_samples)(jnp.asarray(x)))


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_a_mean_over_the_batch(name):
    options = CASES[name][1]
    twice = {
        key: jnp.tile(value, 2) if jnp.ndim(value) else value for key, value in options.items()
    }
    loss, real, fake = LOSSES[name], jnp.asarray(REAL), jnp.asarray(FAKE)
    found = loss.discriminator(jnp.tile(real, 2), jnp.tile(fake, 2), **twice)
    assert float(found) == pytest.approx(float(loss.discriminator(real, fake, **options)), rel=1e-5)
    assert float(loss.generator(jnp.tile(fake, 2))) == pytest.approx(
        float(loss.generator(fake)), rel=1e-5
    )


WRONG = {
    "unknown": ({"loss": "lsgan"}, "config.loss: 'lsgan' is unknown; use one of minimax, "),
    "smoothing": ({"loss": "wasserstein", "smoothing": 0.1}, "config.smoothing: 'wasserstein' has"),
    "sigmoid": ({"loss": "least_squares", "sigmoid": True}, "config.sigmoid: 'least_squares'"),
    "batch norm": (
        {"loss": "wasserstein", "gradient_penalty": 10.0, "batch_norm": True},
        "config.discriminator.normalisation=batch: the gradient penalty",
    ),
    "minibatch": (
        {"loss": "wasserstein", "gradient_penalty": 10.0, "minibatch_discrimination": True},
        "config.minibatch_discrimination: the gradient penalty",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_combinations_that_cannot_work_are_refused(case):
    settings, message = WRONG[case]
    with pytest.raises(UserError) as error:
        check_combination(**settings)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": "non_saturating", "smoothing": 0.1, "batch_norm": True, "momentum": 0.5},
        {"loss": "non_saturating", "minibatch_discrimination": True},
        {"loss": "wasserstein", "gradient_penalty": 10.0, "momentum": 0.5},
        {"loss": "wasserstein", "clip": 0.01, "batch_norm": True},
        {"loss": "least_squares"},
    ],
)
def test_other_combinations_pass_without_a_warning(settings):
    assert check_combination(**settings) == ""


def test_clipping_with_momentum_is_warned_of():
    warning = check_combination("wasserstein", clip=0.01, momentum=0.5)
    assert warning.startswith("config.clip=0.01 with momentum 0.5: ")
