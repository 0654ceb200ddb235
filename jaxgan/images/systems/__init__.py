"""One file for each system that trains a generator of images."""
