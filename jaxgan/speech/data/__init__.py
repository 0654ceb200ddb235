"""Speech corpora: reads, checks, mixes and batches them."""
