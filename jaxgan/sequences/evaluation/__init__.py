"""Evaluation of generators of sequences."""
