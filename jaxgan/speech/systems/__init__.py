"""One file for each system that trains a speech enhancer."""
