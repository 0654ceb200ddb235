"""Speech corpora: reading, checking, mixing and batching."""
