"""Pure functions of arrays that systems of more than one domain use."""
