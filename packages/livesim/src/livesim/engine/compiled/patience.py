"""Jobs that give up their wait."""

from __future__ import annotations

import numpy as np
from numpy import float64

from livesim.engine.compiled.calendar import schedule
from livesim.engine.compiled.constants import BAD_TIME, CLASS_PATIENCE, DID_RENEGE
from livesim.engine.compiled.queues import unlink
from livesim.engine.compiled.readers import code_of, flows_of, jobs_of, stores_of
from livesim.engine.compiled.resources import serve
from livesim.engine.compiled.statistics import note_job
from livesim.engine.compiled.stocks import drop_item, serve_container
from livesim.engine.compiled.typed import World, routine
from livesim.engine.compiled.values import value_of


@routine
def patience(w: World, j: int, v: int, hole: bool) -> int:
    """Let a job that is about to wait give up after a time."""
    jobs = jobs_of(w)
    time = value_of(w, v, j)
    if not time >= 0.0:
        w.wrong = time
        return BAD_TIME
    if time < np.inf:
        slot = j + w.n_sources + w.n_clocks
        jobs[j].due = schedule(w, w.now + time, CLASS_PATIENCE, slot, hole)
    return 0


@routine
def give_up(w: World, j: int) -> None:
    """Let a job whose patience ran out leave its queue, and those behind it move up."""
    jobs = jobs_of(w)
    q = jobs[j].queue
    unlink(w, j)
    jobs[j].waited += w.now - jobs[j].mark
    flows_of(w)[jobs[j].process].reneged += 1
    if w.tracing:
        note_job(w, DID_RENEGE, j, float64(q))
    jobs[j].pc = code_of(w)[jobs[j].pc - 1].e
    n_resources = w.n_resources
    if q < n_resources:
        serve(w, q)
    elif (q - n_resources) // 2 < w.n_containers:
        stock = (q - n_resources) // 2
        if stores_of(w)[stock].discipline < 0:
            serve_container(w, stock)
        elif jobs[j].item >= 0:
            drop_item(w, jobs[j].item)
            jobs[j].item = -1
