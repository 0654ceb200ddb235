"""Value-based control in built-in environments."""
