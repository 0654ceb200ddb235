import pytest
from ml_collections import ConfigDict

from configs import gan as gan_config
from jaxgan.core import settings
from jaxgan.core.errors import UserError


def test_the_usual_settings_are_allowed():
    config = settings.run_settings("some.module", rounds=3, batch_size=8)
    settings.check(config)
    assert (config.recipe, config.rounds, config.batch_size) == ("some.module", 3, 8)
    harmless = {"debug_nans", "checkpoint.every", "tracker", "validation.patience"}
    assert set(settings.MAY_CHANGE) <= harmless


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("seed", -1, "config.seed=-1: must be 0 or more"),
        ("rounds", 0, "config.rounds=0: must be 1 or more"),
        ("batch_size", 0, "config.batch_size=0: must be 1 or more"),
        ("validation.every", 0, r"config\.validation\.every=0: must be 1 or more"),
        ("checkpoint.every", 0, r"config\.checkpoint\.every=0: must be 1 or more"),
        ("dtype", "float16", "config.dtype=float16: choose one of float32, bfloat16"),
    ],
)
def test_a_setting_that_is_not_allowed_is_named(key, value, message):
    config = settings.run_settings("toy", rounds=3, batch_size=8)
    config.update_from_flattened_dict({key: value})
    with pytest.raises(UserError, match=message):
        settings.check(config)


def test_every_limited_setting_exists_and_missing_ones_are_not_checked():
    every_run = settings.run_settings("toy", 1, 1)
    for key in (*settings.CHOICES, *settings.RANGES, *settings.MAY_CHANGE):
        # Only simple systems count the steps of a round; the others have phases.
        config = gan_config.get_config() if key == "steps_per_round" else every_run
        section, _, name = key.rpartition(".")
        assert name in (config[section] if section else config)
    settings.check(ConfigDict({"rounds": 1}))
