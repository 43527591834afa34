"""Recipes that compose the Live engines over one message queue, and the `live` command."""

__version__ = "0.1.0"
