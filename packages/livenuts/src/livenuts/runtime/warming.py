"""Chains and their lessons: warm-up of a group of chains, or of one alone."""

from __future__ import annotations

from collections.abc import Callable

from livenuts.adaptation.warmup import Warmup
from livenuts.runtime.chain import ChainRun
from livenuts.runtime.crew import Crew
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
        crew.each(lambda chain: chain.run(warmup.until, stop), chains, chains[0].expected_seconds(warmup.until))
        if not _learn(chains, warmup):
            return


def alone(chain: ChainRun, warmup: Warmup, stop: Callable[[], bool]) -> None:
    """Warm-up of a chain that learns from itself, then its draws."""
    while chain.warmed is None:
        chain.run(warmup.until, stop)
        if not _learn([chain], warmup):
            return
    chain.run(chain.total, stop)


def _learn(chains: list[ChainRun], warmup: Warmup) -> bool:
    """The lesson that is due, unless the chains were stopped on their way to it."""
    if any(chain.made < warmup.until for chain in chains):
        return False
    lesson = warmup.learn([chain.take_stretch() for chain in chains])
    learned = None if lesson.step is not None else warmup.state()
    for chain in chains:
        chain.learn(lesson, learned)
    return True
