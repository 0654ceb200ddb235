"""StackGAN: its losses by hand, what a step of either stage moves, and a text that is learned."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_up_states import made_up

from configs import stackgan as stackgan_config
from jaxgan.core import devices
from jaxgan.core.compiling import INIT_OPTIONS
from jaxgan.core.errors import UserError
from jaxgan.core.state import step_key
from jaxgan.images import stages
from jaxgan.images.data.batches import Resident
from jaxgan.images.data.captions import bags_of_words
from jaxgan.images.networks import stacked
from jaxgan.images.systems import stackgan
from jaxgan.recipes import make

SHAPE, CAPTIONS = (12, 12, 1), 8
compiled = functools.partial(jax.jit, compiler_options=INIT_OPTIONS)


def tiny_system(**values):
    config = stackgan_config.get_config("tiny")
    config.factor, config.generator.smallest = 2, 6
    config.update_from_flattened_dict(values)
    system = stackgan.make_system(config, SHAPE, CAPTIONS)
    init = functools.partial(stackgan.initial, system=system)
    return system, made_up(init)


def softplus(x):
    return np.log1p(np.exp(np.asarray(x, np.float64)))


def moved(one, other):
    """The players, and the parts of the generator, that differ."""
    trees = {
        (name, part): tree
        for name, player in one.players.items()
        for part, tree in (player.params if name == "generator" else {"": player.params}).items()
    }
    found = set()
    for (name, part), tree in trees.items():
        params = other.players[name].params
        after = params[part] if part else params
        pairs = zip(jax.tree.leaves(tree), jax.tree.leaves(after), strict=True)
        if not all(np.array_equal(*pair) for pair in pairs):
            found.add(part or name)
    return found


@pytest.mark.parametrize("stage", ["1", "2"])
def test_the_losses_of_a_stage_by_hand_and_what_they_move(stage):
    """D rejects real images with wrong texts and generated images, each at half the weight."""
    system, state = tiny_system(kl_weight=3.0)
    network, labels = system.generator, jnp.array([1, 0, 7])
    side = 6 if stage == "1" else 12
    real = jnp.tanh(jax.random.normal(jax.random.key(5), (3, side, side, 1)))
    text = jnp.asarray(bags_of_words(CAPTIONS))[labels]

    def fakes(state, stream):
        variables = state.players["generator"].variables
        codes = stacked.draw_codes(network, step_key(state, stream), text)
        small, *gaussian = network.apply(variables, codes, False, method="small")
        if stage == "1":
            return small, gaussian
        large, *gaussian = network.apply(variables, codes, small, False, method="large")
        return large, gaussian

    def judged(state, images, text):
        variables = state.players[f"discriminator_{stage}"].variables
        return system.discriminator.apply(variables, images, [text])[0]

    @compiled
    def steps(state):
        given = {"stage": stage, "system": system}
        between, of_d = stackgan.discriminator_step(state, real, labels, **given)
        after, of_g = stackgan.generator_step(between, labels, **given)
        other = jax.random.randint(step_key(state, stackgan.WRONG), (3,), 1, CAPTIONS)
        wrong = (labels + other) % CAPTIONS
        wrong_text = jnp.asarray(bags_of_words(CAPTIONS))[wrong]
        fake, _ = fakes(state, stackgan.FOR_D)
        pairs = (real, text), (real, wrong_text), (fake, text)
        by_d = [judged(state, *pair) for pair in pairs]
        fake, gaussian = fakes(between, stackgan.FOR_G)
        return between, after, of_d, of_g, by_d, judged(between, fake, text), gaussian, wrong

    between, after, of_d, of_g, by_d, by_d_of_g, gaussian, wrong = steps(state)
    assert (wrong != labels).all()
    on_real, on_wrong, on_fake = by_d
    rejected = (softplus(on_wrong).mean() + softplus(on_fake).mean()) / 2
    assert float(of_d["d_loss"]) == pytest.approx(softplus(-on_real).mean() + rejected, rel=1e-4)
    assert moved(state, between) == {f"discriminator_{stage}"}
    mean, log_variance = (np.asarray(each, np.float64) for each in gaussian)
    kl = np.mean((mean**2 + np.exp(log_variance) - log_variance - 1) / 2)
    assert float(of_g["kl"]) == pytest.approx(kl, rel=1e-3)
    expected = softplus(-by_d_of_g).mean() + 3 * kl
    assert float(of_g["g_loss"]) == pytest.approx(expected, rel=1e-4)
    assert moved(between, after) == {stacked.PARTS[stage]}


def test_a_stage_learns_what_texts_say():
    """Images are of one grey, which is light for captions with "bright" and dark for all others."""
    values = {"generator.features": 4, "generator.condition": 4, "discriminator.text": 4}
    normalised = dict.fromkeys(("generator.normalisation", "discriminator.normalisation"), "batch")
    rates = {"learning_rate": 5e-3, "kl_weight": 0.1, "average_decay": 0.0}
    system, state = tiny_system(**values, **normalised, **rates, **{"discriminator.features": 2})
    random, labels = np.random.default_rng(0), np.arange(64, dtype=np.int32) % CAPTIONS
    bright = labels // 2 % 2
    greys = 128 * bright + random.integers(0, 128, 64)
    images = np.broadcast_to(greys.astype(np.uint8)[:, None, None, None], (64, *SHAPE))
    data = Resident(jnp.asarray(images), jnp.asarray(labels))
    rows = jnp.asarray(random.integers(0, 64, (250, 1, 16)))

    @compiled
    def trained(state):
        def body(state, row):
            return stackgan.step(state, stages.Staged(row, "1"), data, system=system)

        after, _ = jax.lax.scan(body, state, rows)
        text = jnp.asarray(bags_of_words(CAPTIONS))[labels]
        codes = stacked.draw_codes(system.generator, jax.random.key(1), text)
        variables = after.players["generator"].variables
        return system.generator.apply(variables, codes, False, method="small")[0]

    made = np.asarray(trained(state)).mean(axis=(1, 2, 3))
    assert made[bright == 1].mean() - made[bright == 0].mean() > 0.6
    assert np.mean((made > 0) == bright) > 0.9


def test_a_run_of_the_first_stage_shows_its_images_enlarged_and_moves_only_its_players():
    config = stackgan_config.get_config("tiny")
    config.stages = "1"
    recipe = make(config, devices.make_mesh(1))
    assert set(recipe._steps.moves) == {"generator", "discriminator_1"}
    assert recipe.phase_starts == ()
    classes = json.loads(recipe.files["data.json"])["train"]["classes"]
    assert classes[12] == "dark narrow 3", "what sample.py --label takes"
    system, state = tiny_system()
    labels = jnp.array([3, 5])
    config.factor, config.generator.smallest = 2, 6

    @compiled
    def found(generator):
        made = []
        for asked in ("1", "all"):
            config.stages = asked
            sample = stackgan.make_sample(config, SHAPE, CAPTIONS)
            made.append(sample(generator, jax.random.key(3), labels))
        text = jnp.asarray(bags_of_words(CAPTIONS))[labels]
        codes = stacked.draw_codes(system.generator, jax.random.key(3), text)
        small, *_ = system.generator.apply(generator.variables, codes, False, method="small")
        large = system.generator.apply(generator.variables, codes, False)
        return made, stages.enlarge(small, 12), large

    made, enlarged, large = found(state.players["generator"])
    np.testing.assert_allclose(made[0], enlarged, atol=1e-6)
    np.testing.assert_allclose(made[1], large, atol=1e-6)
    assert np.abs(large - enlarged).max() > 0


def test_settings_that_cannot_be_used():
    config = stackgan_config.get_config("tiny")
    config.factor = 8
    with pytest.raises(UserError, match=r"factor=8: images of the shape \[28, 28, 1\] must be squ"):
        make(config, devices.make_mesh(1))
    config.data.labels = "classes"
    with pytest.raises(UserError, match=r"config.data.labels=.*captions"):
        make(config, devices.make_mesh(1))


def test_without_augmentation_there_is_no_divergence():
    config = stackgan_config.get_config("tiny")
    config.generator.augmented = False
    assert stackgan.make_system(config, (28, 28, 1), CAPTIONS).kl_weight == 0
