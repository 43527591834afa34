"""Counter-based random numbers and exact samplers: every draw is a function of its key and its counter.

`draw` is the reference in plain Python; `livesim.random.compiled` lets compiled code call it, equal to the bit, and
`livesim.random.batch` draws for many jobs at once.
"""

from livesim.random.kinds import Kind, check
from livesim.random.samplers import draw
from livesim.random.streams import job_key, replication_key, stream_key, stream_number, uniform

__all__ = [
    "Kind",
    "check",
    "draw",
    "job_key",
    "replication_key",
    "stream_key",
    "stream_number",
    "uniform",
]
