"""Warm-up: dual averaging of the step size, Stan's windows, estimators of the metric."""
