"""Reinforcement learning in environments, and chess in the style of one player."""
