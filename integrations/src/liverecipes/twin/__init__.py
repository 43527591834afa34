"""A factory and its self-calibrating twin."""
