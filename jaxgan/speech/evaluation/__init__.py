"""Validation, evaluation and comparison of speech enhancers."""
