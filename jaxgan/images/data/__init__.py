"""Data sets of images: reads, generates, checks and batches them."""
