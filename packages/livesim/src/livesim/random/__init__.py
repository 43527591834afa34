"""Counter-based random numbers and exact samplers: every draw is a function of its key and its counter.

`draw` is the reference in plain Python, `draw_compiled` the same for Numba, equal to the bit. Numba is imported when
`draw_compiled` is first asked for.
"""

from typing import TYPE_CHECKING, Any

from livesim.random.kinds import Kind, check
from livesim.random.samplers import draw
from livesim.random.streams import job_key, replication_key, stream_key, stream_number, uniform

if TYPE_CHECKING:
    from livesim.random.compiled import draw_compiled

__all__ = [
    "Kind",
    "check",
    "draw",
    "draw_compiled",
    "job_key",
    "replication_key",
    "stream_key",
    "stream_number",
    "uniform",
]


def __getattr__(name: str) -> Any:
    if name == "draw_compiled":
        from livesim.random.compiled import draw_compiled

        return draw_compiled
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
