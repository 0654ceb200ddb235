"""jaxgan trains a generator against any score you can compute, even one that has no gradient."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("jaxgan")
except PackageNotFoundError:  # a source tree that was not installed
    __version__ = "0+unknown"
