"""Who holds a resource that can be taken away, in the order of coming."""

from __future__ import annotations

from livesim.engine.compiled.readers import held_of, holders_of, holdings_of, jobs_of
from livesim.engine.compiled.typed import World, routine


@routine
def take_holder(w: World, j: int, r: int, h: int) -> None:
    """Put a job last on the list of those that hold a resource; `held` tells already what it has."""
    jobs = jobs_of(w)
    if held_of(w)[j * w.n_resources + r] > jobs[j].units:
        forget(w, j, h)
    last = holders_of(w)[h].last
    holdings_of(w)[j * w.n_holders + h].preceding = last
    holdings_of(w)[j * w.n_holders + h].following = -1
    if last >= 0:
        holdings_of(w)[last * w.n_holders + h].following = j
    else:
        holders_of(w)[h].first = j
    holders_of(w)[h].last = j
    holdings_of(w)[j * w.n_holders + h].rank = jobs[j].rank
    holdings_of(w)[j * w.n_holders + h].ticket = jobs[j].ticket


@routine
def forget(w: World, j: int, h: int) -> None:
    """Take a job off the list of those that hold a resource."""
    ahead, behind = holdings_of(w)[j * w.n_holders + h].preceding, holdings_of(w)[j * w.n_holders + h].following
    if ahead >= 0:
        holdings_of(w)[ahead * w.n_holders + h].following = behind
    else:
        holders_of(w)[h].first = behind
    if behind >= 0:
        holdings_of(w)[behind * w.n_holders + h].preceding = ahead
    else:
        holders_of(w)[h].last = ahead
