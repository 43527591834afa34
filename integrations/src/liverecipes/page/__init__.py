"""The live page: a small web server that shows any run on the queue while it happens."""

from .server import Page
from .views import OwnView

__all__ = ["OwnView", "Page"]
