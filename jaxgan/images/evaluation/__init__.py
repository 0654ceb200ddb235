"""Evaluation of generators of images: functions of features, of predictions and of samples.

All compute in float64 on the host and are deterministic: functions that draw at random take a seed.
Features are float [n, d], a row for each image; the caller names their network in its results.
"""
