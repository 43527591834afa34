"""The No-U-Turn transition in pure JAX: integrator, tree, transition, metrics and counter-based random numbers."""
