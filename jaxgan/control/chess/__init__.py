"""Chess: positions as arrays, games from PGN files or scripted players, and playing by UCI."""
