"""Speech enhancement: audio files, corpora, networks, recipes, evaluation."""
