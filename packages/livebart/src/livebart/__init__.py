"""Bayesian additive regression trees."""
