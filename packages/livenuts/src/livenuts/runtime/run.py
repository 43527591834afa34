"""A run: chains on their way, in threads or on an executor, and the result of what they made."""

from __future__ import annotations

import contextlib
import functools
import math
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from livenuts.adaptation.warmup import Warmup
from livenuts.compiler.target import Bound
from livenuts.compiler.x64 import x64
from livenuts.messages import Sink
from livenuts.result import Continuation, Result
from livenuts.runtime import moves, vectorized
from livenuts.runtime.announce import Announcements
from livenuts.runtime.chain import ChainRun, as_data, statistics_columns
from livenuts.runtime.compiled import compile_chains, read_metric
from livenuts.runtime.crew import Crew
from livenuts.runtime.iteration import STATISTICS
from livenuts.runtime.progress import ProgressBar, ProgressMessages
from livenuts.runtime.record import Record
from livenuts.runtime.remote import Tasks, advance
from livenuts.runtime.settings import Settings
from livenuts.runtime.tasks import Workers
from livenuts.runtime.warming import each_alone, make_warmup, together
from livenuts.tuning import Tuning

# A lesson is learned by all chains within this many milliseconds.
_PATIENCE = 5000


class Run:
    """The chains of a run, in groups that learn together."""

    def __init__(self, source: Any, bound: Bound, settings: Settings, seed: int, warm_start: bool) -> None:
        self.source, self.bound, self.settings, self.seed = source, bound, settings, seed
        self.warm_start = warm_start
        self.chains: list[ChainRun]
        if settings.chain_method == "vectorized":
            self.chains = vectorized.make_chains(bound, settings, seed)
        else:
            compiled = compile_chains(bound, settings)
            self.chains = [ChainRun(k, bound, compiled, settings, seed, None) for k in range(settings.num_chains)]
        self.compiled = self.chains[0].compiled
        pooled = settings.adaptation == "pooled"
        self.groups = [self.chains] if pooled else [[chain] for chain in self.chains]
        self.warmups: list[Warmup] = []

    @functools.cached_property
    def digest(self) -> str:
        """Of the model and its data."""
        return self.bound.target.digest(self.bound.data)

    def start(self, starts: Sequence[dict[str, Any] | np.ndarray], tuning: Tuning | None) -> None:
        """Find starting positions."""
        self.warmups = [make_warmup(group[0], tuning) for group in self.groups]
        evaluate = vectorized.evaluate if self.settings.chain_method == "vectorized" else moves.evaluate
        with x64():
            for group, warmup in zip(self.groups, self.warmups, strict=True):
                learned = None if self.settings.num_warmup == 0 else warmup.state()
                if tuning is None:
                    moves.start(group, starts, warmup, evaluate)
                else:
                    moves.start_warm(group, tuning, evaluate)
                for chain in group:
                    if self.settings.num_warmup == 0:
                        chain.warmed = 0
                    chain.learned = learned
                    chain.note()

    def restore(self, state: Mapping[str, Any], blocks: Sequence[Sequence[Mapping[str, Any]]]) -> None:
        """Go on from a state with these draws: blocks of each chain."""
        for group, kept in zip(self.groups, state["groups"], strict=True):
            for chain, noted in zip(group, kept["chains"], strict=True):
                for block in blocks[chain.index]:
                    chain.keep(block["statistics"], block["draws"])
                chain.restore(noted, kept["warmup"])
        self.warmups = [make_warmup(group[0], None) for group in self.groups]

    def state(self) -> dict[str, Any]:
        """What `restore` takes, apart from the draws, as plain data; also while chains go on."""
        groups = []
        for group in self.groups:
            for _ in range(_PATIENCE):
                noted = [chain.noted for chain in group]
                if all(one["warmup"] is noted[0]["warmup"] for one in noted):
                    break
                time.sleep(1e-3)  # they learn at this moment
            else:
                raise RuntimeError("the chains have not learned the same: a lesson was broken off")
            groups.append({"warmup": noted[0]["warmup"], "chains": [as_data(one) for one in noted]})
        return {"groups": groups}

    def go(
        self,
        *,
        sink: Sink | None,
        stop: Callable[[], bool] | None,
        workers: Workers | None,
        record: Record | None,
        progress: bool,
        compile_seconds: float,
    ) -> Result:
        """Make all draws that are still to make; the result of all."""
        announcements = None if sink is None else Announcements(sink)
        remote = workers is not None and workers.travels and getattr(sink, "remote", False)
        if workers is not None and remote:
            workers.check("sink", sink, "without remote=True it is called here instead")
        tasks = None if workers is None else Tasks(self.source, self.bound, workers.travels, sink if remote else None)
        for chain in self.chains:
            chain.sink = sink

        def on_workers(stop: Callable[[], bool], watch: Callable[[], None]) -> None:
            assert workers is not None
            assert tasks is not None
            unfinished = [chain for chain in self.chains if chain.made < chain.total]

            def then(place: int, done: dict[str, Any]) -> dict[str, Any] | None:
                chain = unfinished[place]
                if "missing" in done:
                    return tasks.first(chain)
                chain.absorb(done, heard=remote)
                return tasks.next(chain) if chain.made < chain.total else None

            workers.run(
                advance,
                [tasks.first(chain) for chain in unfinished],
                names=[f"chain {chain.index}" for chain in unfinished],
                then=then,
                stop=stop,
                watch=watch,
            )

        status, error = self._run(
            sink, stop, on_workers if workers is not None else None, announcements, record, progress, remote
        )
        result = self._collect(status, compile_seconds)
        if announcements is not None:
            error = announcements.end(status, error, self.chains)
        if error is not None:
            with contextlib.suppress(AttributeError):
                error.result = result  # type: ignore[attr-defined]
            error.add_note("the draws made before this error are in its attribute `result`")
            raise error
        if 0 < result.num_chains < self.settings.num_chains:
            made = ", ".join(str(chain.kept) for chain in self.chains)
            warnings.warn(f"stopped before every chain had draws ({made}): chains without are left out", stacklevel=4)
        if status == "interrupted":
            if not any(chain.kept for chain in self.chains):
                raise KeyboardInterrupt
            warnings.warn(f"interrupted: the result holds {result.num_draws} draws a chain", stacklevel=4)
        return result

    def _run(
        self,
        sink: Sink | None,
        stop: Callable[[], bool] | None,
        on_workers: Callable[[Callable[[], bool], Callable[[], None]], None] | None,
        announcements: Announcements | None,
        record: Record | None,
        progress: bool,
        remote: bool,
    ) -> tuple[str, BaseException | None]:
        """Run the chains to their end; how it ended, and the error if one did."""
        halted = threading.Event()
        stopped = threading.Event()
        asking = threading.Lock()

        crew = Crew(len(self.chains), halted)

        def should_stop() -> bool:
            crew.note()
            if stop is not None and not halted.is_set():
                with asking:
                    if stop():
                        stopped.set()
                        halted.set()
            return halted.is_set()

        bar = ProgressBar(self.chains) if progress else None
        messages = ProgressMessages(sink, self.settings.num_warmup) if sink is not None else None

        def watch() -> None:
            if bar is not None:
                bar.update(self.chains)
            if messages is not None:
                messages.update(self.chains)
            if announcements is not None:
                announcements.recoveries(self.chains)
            if record is not None:
                record.update()

        def conduct() -> None:
            if self.settings.chain_method == "vectorized":
                vectorized.run_together(self.chains, self.warmups[0], should_stop)
                return
            if len(self.groups) > 1:
                pairs = list(zip(self.chains, self.warmups, strict=True))
                if on_workers is None:
                    crew.each(functools.partial(each_alone, stop=should_stop), pairs, math.inf)
                return
            together(self.chains, self.warmups[0], crew, should_stop)
            if on_workers is None and self.chains[0].warmed is not None:
                total = self.chains[0].total
                seconds = moves.expected_seconds(self.chains[0], total)
                crew.each(functools.partial(moves.advance, until=total, stop=should_stop), self.chains, seconds)

        error: BaseException | None = None
        try:
            if announcements is not None:
                settings = self.settings.to_dict() | {"warm_start": self.warm_start}
                announcements.start(self.bound, self.digest, settings, self.seed)
            for chain in self.chains if sink is not None else ():  # what an earlier process drew
                chain.send_again()
            longest = max(self.chains, key=lambda chain: chain.total - chain.made)
            crew.run(conduct, watch, moves.expected_seconds(longest, longest.total) * len(self.chains))
            if on_workers is not None and not should_stop():
                if remote:  # workers go on behind what was sent here
                    getattr(sink, "flush", lambda: None)()
                on_workers(should_stop, watch)
        except BaseException as failure:
            error = failure
        finally:
            if bar is not None:
                bar.update(self.chains)
                bar.close()
        if record is not None:
            try:
                record.update(now=True)
            except Exception as failure:
                error = error or failure
        if isinstance(error, KeyboardInterrupt):
            return "interrupted", None
        if error is not None:
            return "failed", error
        return ("stopped" if stopped.is_set() else "completed"), None

    def _collect(self, status: str, compile_seconds: float) -> Result:
        chains, bound, settings = self.chains, self.bound, self.settings
        lengths = [chain.kept for chain in chains]
        used = [chain for chain in chains if chain.kept] or chains
        shortest = min(chain.kept for chain in used)
        shapes = {item.name: item.shape for item in bound.target.outputs}

        continuation = None
        if status == "completed" and settings.chain_method == "threads":
            continuation = Continuation(self.state(), self.warm_start, self.source, lambda: self.digest)

        def joined(kept: Sequence[list[np.ndarray]], shape: tuple[int, ...]) -> np.ndarray:
            """All chains' blocks in one array; a block is let go once it is in."""
            whole = np.empty((len(kept), shortest, *shape))
            for row, blocks in zip(whole, kept, strict=True):
                place = 0
                while blocks:
                    block = blocks.pop(0)[: shortest - place]
                    row[place : place + len(block)] = block
                    place += len(block)
            return whole

        draws = {name: joined([chain.draws[name] for chain in used], shape) for name, shape in shapes.items()}
        rows = joined([chain.statistics for chain in used], (len(STATISTICS),))
        stats = statistics_columns(rows)
        stats["reached_max_treedepth"] = (stats["tree_depth"] == settings.max_tree_depth) & ~stats["diverging"]
        views = [chain.view for chain in chains]
        tuning = Tuning.of(
            settings.metric,
            [read_metric(self.compiled.program.metric.view(chain.metric)) for chain in chains],
            step_size=np.array([float(np.exp(view.averaging.log_step)) for view in views]),
            positions=np.stack([view.state.position for view in views]),
            num_warmup=np.array([chain.made if chain.warmed is None else chain.warmed for chain in chains]),
            native=self.compiled.program.native,
        )
        timings = {"compile": compile_seconds}
        timings |= {phase: max(chain.seconds[phase] for chain in chains) for phase in ("warmup", "sampling")}
        description = bound.description
        observed = {name: np.asarray(description.data[name]) for name in description.observed}
        return Result(
            model=description.name,
            draws=draws,
            stats=stats,
            timings=timings,
            tuning=tuning,
            seed=self.seed,
            settings=settings.to_dict(),
            status=status,
            lengths=lengths,
            dims=bound.target.dims() | {n: d for n, d in description.data_dims.items() if n in observed},
            coords={dim: list(labels) for dim, labels in description.coords.items()},
            observed=observed,
            continuation=continuation,
        )
