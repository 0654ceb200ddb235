"""How well an agent plays."""
