"""Corpora of token sequences."""
