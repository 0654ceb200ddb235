"""Networks for sequences of tokens, and the functions that draw from them and score with them."""
