"""Taking resources from jobs at work."""

from __future__ import annotations

from numpy import float64, int64

from livesim.engine.compiled.constants import CLASS_RELEASING, DID_INTERRUPT, RESAMPLE, RESTART
from livesim.engine.compiled.holders import forget
from livesim.engine.compiled.queues import before, queue_up
from livesim.engine.compiled.readers import (
    code_of,
    flows_of,
    held_of,
    holders_of,
    holdings_of,
    jobs_of,
    levels_of,
    queues_of,
    resources_of,
)
from livesim.engine.compiled.statistics import level, note_job
from livesim.engine.compiled.typed import World, inlined, routine
from livesim.engine.compiled.values import value_of


@inlined
def at_work(w: World, j: int) -> bool:
    """Whether a job is in a hold that can be interrupted: work that ends now, before a release, is done."""
    jobs = jobs_of(w)
    if jobs[j].working == 0:
        return False
    return not (jobs[j].finish == w.now and code_of(w)[jobs[j].pc - 1].b == CLASS_RELEASING)


@routine
def victim(w: World, r: int, rank: float) -> int:
    """The least urgent job at work on a resource that is less urgent than `rank`; of equals, the last to come."""
    holdings = holdings_of(w)
    h = resources_of(w)[r].holders
    worst = int64(-1)
    j = holders_of(w)[h].first
    while j >= 0:
        held = holdings[j * w.n_holders + h]
        if held.rank > rank and at_work(w, j):
            if worst < 0:
                worst = j
            else:
                other = holdings[worst * w.n_holders + h]
                if held.rank > other.rank or (held.rank == other.rank and held.ticket > other.ticket):
                    worst = j
        j = held.following
    return worst


@routine
def preempt(w: World, j: int, r: int) -> bool:
    """Take units from less urgent jobs at work, if that makes enough of them; whether it did."""
    jobs = jobs_of(w)
    if queues_of(w)[r].head >= 0 and not before(jobs, j, queues_of(w)[r].head, resources_of(w)[r].discipline):
        return False
    h = resources_of(w)[r].holders
    spare = levels_of(w)[2 * r + 1].value - levels_of(w)[2 * r].value
    other = holders_of(w)[h].first
    while other >= 0:
        if holdings_of(w)[other * w.n_holders + h].rank > jobs[j].rank and at_work(w, other):
            spare += held_of(w)[other * w.n_resources + r]
        other = holdings_of(w)[other * w.n_holders + h].following
    if spare < jobs[j].units:
        return False
    while levels_of(w)[2 * r + 1].value - levels_of(w)[2 * r].value < jobs[j].units:
        taken = victim(w, r, jobs[j].rank)
        interrupt(w, taken, r, resources_of(w)[r].preemption)
    return True


@routine
def interrupt(w: World, j: int, r: int, mode: int) -> None:
    """Take a resource from a job at work; it waits to get it back, at the place that it had."""
    jobs = jobs_of(w)
    h = resources_of(w)[r].holders
    now = w.now
    jobs[j].left = -1.0 if mode == RESAMPLE else (jobs[j].length if mode == RESTART else jobs[j].finish - now)
    jobs[j].working = 0
    jobs[j].due = -1
    jobs[j].pc -= 1
    flows_of(w)[jobs[j].process].interrupted += 1
    if w.tracing:
        note_job(w, DID_INTERRUPT, j, float64(r))
    jobs[j].units = held_of(w)[j * w.n_resources + r]
    held_of(w)[j * w.n_resources + r] = 0
    jobs[j].holding -= jobs[j].units
    jobs[j].rank = holdings_of(w)[j * w.n_holders + h].rank
    jobs[j].ticket = holdings_of(w)[j * w.n_holders + h].ticket
    jobs[j].together = -1
    forget(w, j, h)
    level(levels_of(w), 2 * r, now, -float64(jobs[j].units))
    jobs[j].order = value_of(w, resources_of(w)[r].order, j) if resources_of(w)[r].order >= 0 else 0.0
    queue_up(w, j, r)
