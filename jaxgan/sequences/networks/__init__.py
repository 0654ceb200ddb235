"""Networks for token sequences, and how they draw."""
