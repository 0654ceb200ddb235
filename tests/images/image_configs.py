"""Configs of small data."""

from jaxgan.core.settings import run_settings
from jaxgan.images.settings import data_settings


def config(batch_size=1, **data):
    """A config with the default data settings, apart from those given."""
    made = run_settings("none", rounds=1, batch_size=batch_size)
    made.data = data_settings()
    made.data.train, made.data.valid = 40, 20
    made.data.update(data)
    return made
