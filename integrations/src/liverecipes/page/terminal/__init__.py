"""The page in a terminal: the reader and the views of the browser's page, drawn with rich."""

from .show import Terminal

__all__ = ["Terminal"]
