"""Loops around the functions of a model, generated as source and compiled."""
