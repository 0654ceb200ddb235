"""Run state, steps, the run loop, devices, checkpoints and logging. Knows no domain."""
