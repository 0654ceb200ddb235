"""Networks for speech, and the front end that feeds them."""
