"""Layers that more than one domain uses."""
