"""Evaluation and use of generators of sequences."""
