"""Environments: pure functions whose state is part of the run state."""
