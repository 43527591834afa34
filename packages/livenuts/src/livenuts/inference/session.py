"""An inference on its way: who hears of it, who stops it, and the result of what it made."""

from __future__ import annotations

import contextlib
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from livenuts.adaptation.fisher import centered, estimate
from livenuts.adaptation.one_thread import one_thread
from livenuts.adaptation.warmup import CUTOFF, MOST_DIRECTIONS
from livenuts.compiler.target import Bound, compile_model
from livenuts.inference.densities import Densities
from livenuts.messages import Sink
from livenuts.result import Continuation, Result
from livenuts.runtime.announce import Announcements
from livenuts.runtime.emission import send_draws
from livenuts.runtime.settings import entropy
from livenuts.tuning import Tuning

State = TypeVar("State")
Steps = Callable[["Session"], Iterator[State]]
Finish = Callable[["Session", State], Mapping[str, Any]]

# Draws that the metric of `Result.tuning` is learned from, and positions that it offers to chains.
_TEACHERS, _STARTS = 1000, 8


class Session:
    """One inference, from its first message to its result. An algorithm says here what it made."""

    def __init__(
        self, method: str, model: Any, settings: dict[str, Any], seed: Any, sink: Any, stop: Any, progress: bool
    ) -> None:
        for name, called in (("sink", sink), ("stop", stop)):
            if called is not None and not callable(called):
                raise TypeError(f"{name} must be callable, got {called!r:.60}")
        self.method, self.settings = method, {"method": method} | settings
        self.seed = entropy(seed)
        began = time.perf_counter()
        self.source = model
        self.bound: Bound = compile_model(model)
        self.densities = Densities(self.bound)
        self.seconds = {"compile": time.perf_counter() - began, "warmup": 0.0, "sampling": 0.0}
        self._sink: Sink | None = sink
        self._stop, self._progress = stop, progress
        self._counts: dict[str, int] = {}
        self._positions: list[np.ndarray] = []
        self._draws: list[dict[str, np.ndarray]] = []
        self._stats: list[dict[str, np.ndarray]] = []

    # -- what an algorithm says ------------------------------------------------------------------------------------

    def say(self, event: str, part: str, content: Mapping[str, Any]) -> None:
        """Send a message of a lossless part."""
        if self._sink is not None:
            self._sink({"type": f"nuts.{event}/1", "part": part, "seq": self._counts.get(part, 0)} | dict(content))
            self._counts[part] = self._counts.get(part, 0) + 1

    def keep(self, positions: np.ndarray, stats: Mapping[str, np.ndarray]) -> None:
        """Keep the draws of the next chain: positions (draw, dimension), statistics (draw,). The sink hears of them."""
        chain = len(self._positions)
        values = self.densities.constrain(positions)
        stats = dict(stats) | {"diverging": np.zeros(len(positions), bool)}
        self._positions.append(positions)
        self._draws.append(values)
        self._stats.append(stats)
        if self._sink is not None:
            send_draws(self._sink, chain, 0, values, stats, warm=False)

    @property
    def positions(self) -> list[np.ndarray]:
        """Of each chain kept, (draw, dimension)."""
        return self._positions

    # -- from beginning to end -------------------------------------------------------------------------------------

    def run(self, steps: Steps[State], finish: Finish[State], stats: tuple[str, ...]) -> Result:
        """Take the steps; what they came to is finished, also where they were stopped on their way.

        `stats` are the names of the statistics that `finish` keeps with the draws.
        """
        announcements = None if self._sink is None else Announcements(self._sink)
        state: State | None = None
        report: Mapping[str, Any] = {}
        status, error = "completed", None
        try:
            with one_thread(), self._timed("warmup"):
                if announcements is not None:
                    digest = self.bound.target.digest(self.bound.data)
                    announcements.start(self.bound, digest, self.settings, self.seed)
                if self._stop is not None and self._stop():
                    status = "stopped"
                else:
                    for latest in self._watched(steps(self)):
                        state = latest
                        if self._stop is not None and self._stop():
                            status = "stopped"
                            break
        except BaseException as failure:
            status, error = ("interrupted", None) if isinstance(failure, KeyboardInterrupt) else ("failed", failure)
            if error is not None:
                self._sink = None  # what failed may be the sink
        try:
            if state is not None:
                with one_thread(), self._timed("sampling"):
                    report = finish(self, state)
        except BaseException as failure:
            if isinstance(failure, KeyboardInterrupt):
                status = "interrupted"
            elif error is None:
                status, error = "failed", failure
        with one_thread():
            result = self._result(status, dict(report), stats)
        if announcements is not None:
            error = announcements.finish(status, error, result.lengths)
        if error is not None:
            with contextlib.suppress(AttributeError):
                error.result = result  # type: ignore[attr-defined]
            error.add_note("what was made before this error is in its attribute `result`")
            raise error
        if status == "interrupted":
            if not result.num_draws:
                raise KeyboardInterrupt
            warnings.warn(f"interrupted: the result is what {self.method} had come to", stacklevel=4)
        return result

    @contextlib.contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] += time.perf_counter() - began

    def _watched(self, states: Iterator[State]) -> Iterator[State]:
        """The states, with a progress bar where somebody watches."""
        if not self._progress:
            yield from states
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm
        with tqdm(desc=self.method, unit=" steps", disable=False if "ipykernel" in sys.modules else None) as bar:
            for state in states:
                bar.update()
                yield state

    def _result(self, status: str, report: dict[str, Any], stats: tuple[str, ...]) -> Result:
        bound = self.bound
        chains, length = len(self._positions), min(map(len, self._positions), default=0)
        shapes = {item.name: item.shape for item in bound.target.outputs}
        empty = not chains
        draws = {
            name: np.empty((1, 0, *shape)) if empty else np.stack([kept[name][:length] for kept in self._draws])
            for name, shape in shapes.items()
        }
        columns = {
            name: np.zeros((1, 0), bool if name == "diverging" else float)
            if empty
            else np.stack([kept[name][:length] for kept in self._stats])
            for name in (*stats, "diverging")
        }
        description = bound.description
        observed = {name: np.asarray(description.data[name]) for name in description.observed}
        target = bound.target
        return Result(
            model=description.name,
            draws=draws,
            stats=columns,
            timings=self.seconds,
            tuning=self._tuning(),
            seed=self.seed,
            settings=self.settings,
            status=status,
            lengths=[len(kept) for kept in self._positions] or [0],
            dims=target.dims() | {n: d for n, d in description.data_dims.items() if n in observed},
            coords={dim: list(labels) for dim, labels in description.coords.items()},
            observed=observed,
            continuation=Continuation({}, False, self.source, lambda: target.digest(bound.data)),
            method=self.method,
            fit=report,
        )

    def _tuning(self) -> Tuning:
        """A metric from the draws and their gradients, as NUTS's warm-up learns it, and positions to start from.

        Its step size is the one that a normal posterior wants: NUTS moves it from the first draw on.
        """
        dimension = self.densities.dimension
        pool = np.concatenate(self._positions) if self._positions else np.zeros((1, dimension))
        pool = pool[:: max(1, len(pool) // _TEACHERS)]
        _, gradients = self.densities(pool)
        known = np.isfinite(gradients).all(1)
        x, g = centered(pool[known]), centered(gradients[known])
        metric = estimate(x, g, min(dimension, MOST_DIRECTIONS), CUTOFF, np.ones(dimension))
        starts = pool[:: max(1, len(pool) // _STARTS)][:_STARTS]
        return Tuning.of(
            "auto",
            [metric] * len(starts),
            step_size=np.full(len(starts), dimension**-0.25),
            positions=starts.copy(),
            num_warmup=np.zeros(len(starts), np.int64),
            native=False,
        )
