"""Systems that generate and translate images."""
