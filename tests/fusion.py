"""Compiles programs as outside of tests, for tests that compare two programs bit for bit."""

FUSED = {"xla_backend_optimization_level": 1, "xla_cpu_use_fusion_emitters": True}
"""Compiler options of `jax.jit` that undo those in conftest.py, which save time but round the same
formula differently in different programs."""
