"""jaxgan trains a generator against any score you can compute, even one that has no gradient."""
