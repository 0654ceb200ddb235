"""Scores made of words: one function describes a recording, another one rates the description.

As in LR-AVSE (Chen et al., "LLM-Guided Reinforcement Learning for Audio-Visual Speech Enhancement",
2026), where an audio language model describes enhanced speech and a sentiment model rates the text.
"""

from jaxgan.scores.words.reward import TextReward

__all__ = ["TextReward"]
