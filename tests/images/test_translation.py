"""The data of image translation as a config asks for them, and the batches of its steps."""

import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from configs import cyclegan, pix2pix
from jaxgan import recipes
from jaxgan.core import config as configs
from jaxgan.core import devices
from jaxgan.core.errors import UserError
from jaxgan.core.state import make_run_state
from jaxgan.images import translation
from jaxgan.images.data.opening import POINTS
from jaxgan.images.settings import translation_settings
from jaxgan.images.systems import cyclegan as cyclegan_system
from jaxgan.images.systems import pix2pix as pix2pix_system

CONFIGS = Path(__file__).parents[2] / "configs"


def opened(config, paired):
    reports = []
    found = translation.open_domains(config, paired, reports.append)
    return found, reports


def settings(**data):
    config = translation_settings("none", rounds=1, batch_size=4)
    config.data.update({"train": 20, "valid": 6, **data})
    return config


def test_without_settings_the_data_are_pairs_of_glyphs():
    found, reports = opened(settings(), True)
    assert reports == ["train: 20 pairs of 28x28x1\nvalid: 6 pairs of 28x28x1"]
    assert found.train.paired
    assert opened(settings(), False)[1] == [
        "train: 10 of A and 10 of B, 28x28x1\nvalid: 6 pairs of 28x28x1"
    ]


def test_kinds_and_batches_that_cannot_be_used():
    with pytest.raises(UserError, match=r"data.kind='cats': choose one of paired, unpaired, glyph"):
        opened(settings(kind="cats"), True)
    config = settings()
    config.batch_size = 11
    opened(config, True)
    with pytest.raises(UserError, match=r"batch_size=11: the training set has only 10 images of a"):
        opened(config, False)


def test_no_system_translates_points():
    texts = {path.stem: path.read_text() for path in CONFIGS.glob("*.py")}
    systems = sorted(name for name, text in texts.items() if "translation_settings(" in text)
    assert {"pix2pix", "cyclegan"} < set(systems)
    for name, kind in itertools.product(systems, POINTS):
        config = configs.load(str(CONFIGS / f"{name}.py:tiny"), [f"--config.data.kind={kind}"])
        message = f"config.data.kind={kind}: these are points, and {name} translates images; choose"
        with pytest.raises(UserError, match=message):
            recipes.make(config, devices.make_mesh(1))


def test_bad_files_are_reported_once_and_refused_if_strict(tmp_path):
    for number in range(8):
        Image.new("RGB", (16, 8), (number,) * 3).save(tmp_path / f"{number}.png")
    (tmp_path / "3b.png").write_bytes(b"no picture")
    data = {"kind": "paired", "root": str(tmp_path), "size": 8}
    [report] = opened(settings(**data), True)[1]
    assert report.splitlines() == [
        "train: 7 pairs of 8x8x3",
        "valid: 1 pair of 8x8x3",
        "1 file cannot be used as found:",
        f"  {tmp_path / '3b.png'}: is not a picture that Pillow can read; skipped",
    ]
    with pytest.raises(UserError, match=r"data.strict=True refuses 1 file: .*3b.png: is not a"):
        opened(settings(**data, strict=True), True)


@pytest.mark.parametrize("paired", [True, False])
def test_a_step_receives_pairs_or_images_that_do_not_belong_together(paired):
    config = (pix2pix if paired else cyclegan).get_config("tiny")
    own = pix2pix_system if paired else cyclegan_system
    config.data.enlarge, config.data.flip = 1.2, True
    made = translation.Translation(
        config, devices.make_mesh(1), paired=paired, choices=own.CHOICES, ranges=own.RANGES
    )
    state = make_run_state(jax.random.key(0), {})
    resident = translation.ResidentDomains(jnp.asarray(made.train.b), jnp.asarray(made.train.b))
    rows = translation.Rows(jnp.arange(8), jnp.arange(8))
    a, b = jax.jit(made._images)(state, rows, resident)
    assert a.shape == b.shape == (8, 28, 28, 1)
    assert bool((a == b).all()) == paired


def test_the_rate_falls_to_zero_in_the_rounds_of_the_decay():
    config = settings()
    config.steps_per_round, config.learning_rate = 10, 0.5
    config.decay.start, config.decay.rounds = 2, 4

    def rates(config, steps):
        """The size of Adam's updates for a constant gradient is the learning rate."""
        optimizer, params = translation.adam(config), jnp.zeros(())
        state, found = optimizer.init(params), []
        for _ in range(steps):
            updates, state = optimizer.update(jnp.ones(()), state, params)
            found.append(-float(updates))
        return np.array(found)

    expected = 0.5 * np.clip(1 - (np.arange(70) - 20) / 40, 0, 1)
    np.testing.assert_allclose(rates(config, 70), expected, atol=1e-5)
    config.decay.rounds = 0
    np.testing.assert_allclose(rates(config, 70), 0.5, atol=1e-5)
