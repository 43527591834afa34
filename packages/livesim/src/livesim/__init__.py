"""Discrete-event simulation: a model is data, and one interpreter runs it."""

from livesim.draws import erlang, exponential, triangular, uniform
from livesim.model.builder import Model
from livesim.model.expressions import (
    age, attribute, busy, capacity, exp, floor, free, in_process, level, log, maximum, minimum, now, param,
    queue_length, sqrt, where,
)  # fmt: skip
from livesim.model.resources import failures, schedule
from livesim.model.verbs import (
    arrive, assign, balk, batch, combine, decide, depart, get, hold, jump, label, loop, put, record, release, renege,
    route, seize, signal, split, transport, unbatch, wait,
)  # fmt: skip

__version__ = "0.1.0"
