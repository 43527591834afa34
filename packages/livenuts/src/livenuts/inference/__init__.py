"""Inference besides NUTS: variational fits, Pathfinder, sequential Monte Carlo."""
