"""Configs of small data."""

from jaxgan.images.settings import run_settings


def config(batch_size=1, **data):
    """A config with the default settings, apart from those given."""
    made = run_settings("none", rounds=1, batch_size=batch_size)
    made.data.train, made.data.valid = 40, 20
    made.data.update(data)
    return made
