"""The interpreter in plain Python: the specification of what every instruction does."""

from livesim.engine.reference.interpreter import Reference
from livesim.engine.reference.state import Outcome, Trace, Waiting

__all__ = ["Outcome", "Reference", "Trace", "Waiting"]
