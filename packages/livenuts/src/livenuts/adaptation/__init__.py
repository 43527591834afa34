"""Warm-up: dual averaging of the step size, the metric of least Fisher divergence, when to learn and when to stop."""
