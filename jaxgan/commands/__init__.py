"""The commands: train, eval, enhance and sample. Each module has a `main`."""
