"""Sequences of tokens: language models trained by likelihood and by rewards."""
