"""Chains and their lessons: warm-up of a group of chains, or of one alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from livenuts.adaptation.warmup import Warmup
from livenuts.runtime.chain import ChainRun
from livenuts.runtime.compiled import metric_vector
from livenuts.runtime.crew import Crew
from livenuts.runtime.moves import advance, expected_seconds
from livenuts.tuning import Tuning


def make_warmup(chain: ChainRun, tuning: Tuning | None) -> Warmup:
    """The lessons of a group whose first chain this is, or what a chain that goes on had of them."""
    settings = chain.settings
    known = None if tuning is None else tuning.metrics()[chain.index % len(tuning.step_size)]
    warmup = Warmup(
        settings.metric,
        chain.bound.target.dimension,
        settings.num_warmup,
        settings.target_accept,
        early_stop=settings.early_stop,
        start=known,
    )
    if chain.learned is not None:
        warmup.restore(chain.learned)
    return warmup


def together(chains: list[ChainRun], warmup: Warmup, crew: Crew, stop: Callable[[], bool]) -> None:
    """Warm-up of chains that learn from each other."""
    while chains[0].warmed is None:
        work = partial(advance, until=warmup.until, stop=stop)
        crew.each(work, chains, expected_seconds(chains[0], warmup.until))
        if not learn(chains, warmup):
            return


def each_alone(pairs: Sequence[tuple[ChainRun, Warmup]], stop: Callable[[], bool]) -> None:
    """`alone`, one after the other."""
    for chain, warmup in pairs:
        alone(chain, warmup, stop)


def alone(chain: ChainRun, warmup: Warmup, stop: Callable[[], bool]) -> None:
    """Warm-up of a chain that learns from itself, then its draws."""
    while chain.warmed is None:
        advance([chain], warmup.until, stop)
        if not learn([chain], warmup):
            return
    advance([chain], chain.total, stop)


def learn(chains: list[ChainRun], warmup: Warmup) -> bool:
    """The lesson that is due, unless the chains were stopped on their way to it."""
    if any(chain.made < warmup.until for chain in chains):
        return False
    lesson = warmup.learn([chain.take_stretch() for chain in chains])
    metric = None if lesson.metric is None else metric_vector(lesson.metric, chains[0].compiled.most_directions)
    learned = None if lesson.step is not None else warmup.state()
    for chain in chains:
        chain.learn(lesson, metric, learned)
    return True
