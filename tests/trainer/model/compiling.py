"""How tests compile programs that run once: without optimization it takes half of the CPU time."""

QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""Options of XLA for `jax.jit(…, compiler_options=QUICKLY)`."""
