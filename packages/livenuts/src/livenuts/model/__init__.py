"""Models as data: expressions, distributions, the builder, functions."""
