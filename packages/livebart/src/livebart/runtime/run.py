"""A run: chains on their way, in threads or on an executor, and who is told of them."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from livebart.messages import Settings, Sink
from livebart.model.problem import Problem
from livebart.runtime.chain import Block, Chain, block_from_data, block_to_data
from livebart.runtime.checkpoint import Checkpoint, CheckpointError, Store
from livebart.runtime.emission import send_draws
from livebart.runtime.progress import ProgressBar, ProgressMessages
from livebart.runtime.remote import Tasks, absorb, advance
from livebart.runtime.tasks import Workers

_WATCH_SECONDS = 0.05
_CHECKPOINT_SECONDS = 2.0

Stop = Callable[[], bool]


@dataclass(frozen=True)
class Plan:
    """What a run is to do, as plain data."""

    model: str
    names: tuple[str, ...]
    n_trees: int
    n_burnin: int
    n_draws: int
    n_chains: int
    seed: int
    settings: Settings
    """What is said of it; the problem's digest holds what of it draws depend on."""

    def digest(self, problem: Problem) -> str:
        """Of all that a draw depends on; the number of draws is none of it."""
        told = [self.model, list(self.names), self.n_trees, self.n_burnin, self.n_chains, self.seed, problem.digest()]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def new_chains(plan: Plan, problem: Problem) -> list[Chain]:
    """The plan's chains, before their first sweep."""
    return [
        Chain(index, problem, plan.n_trees, plan.n_burnin, plan.n_draws, plan.seed) for index in range(plan.n_chains)
    ]


class Recorder:
    """Keeps chains in a checkpoint: their draws, and now and then their states."""

    def __init__(self, store: Store, plan: Plan, problem: Problem) -> None:
        self._checkpoint = Checkpoint(store)
        self._lock = threading.Lock()
        self._kept: dict[int, int] = {}
        self._waiting: dict[int, list[Block]] = {}
        self._last: dict[int, float] = {}
        self._manifest = {"digest": plan.digest(problem), "seed": plan.seed, "settings": plan.settings}

    def begin(self, chains: Sequence[Chain]) -> None:
        """Read what an earlier process left of this run, or begin it."""
        found = self._checkpoint.manifest()
        if found is None:
            self._checkpoint.clear()
            self._checkpoint.write_manifest(self._manifest)
        elif found["digest"] != self._manifest["digest"]:
            raise CheckpointError(
                f"checkpoint {self._checkpoint.shown} is of another run: other data, settings or random_state; "
                "give another place, or what that run was given"
            )
        else:
            self._checkpoint.take_over()
            for chain in chains:
                self._restore(chain)
        for chain in chains:
            self._kept[chain.index] = chain.drawn
            self._waiting[chain.index] = []
            self._last[chain.index] = time.monotonic()

    def _restore(self, chain: Chain) -> None:
        for state in self._checkpoint.states(chain.index):
            if state["drawn"] > chain.total:
                raise CheckpointError(
                    f"checkpoint {self._checkpoint.shown} holds {state['drawn']} draws of chain {chain.index}, "
                    f"n_draws asks for {chain.total}"
                )
            chain.blocks = [
                block_from_data(block) for block in self._checkpoint.blocks(chain.index, int(state["drawn"]))
            ]
            chain.restore(state)
            return

    def note(self, chain: Chain, blocks: Sequence[Block], *, now: bool = False) -> None:
        """Take a chain's next draws, all up to its present state; write if it is time."""
        waiting = self._waiting[chain.index]
        waiting.extend(blocks)
        if not now and time.monotonic() - self._last[chain.index] < _CHECKPOINT_SECONDS:
            return
        with self._lock:
            for part in waiting:
                self._checkpoint.append(chain.index, self._kept[chain.index], block_to_data(part))
                self._kept[chain.index] += len(part.variances)
            waiting.clear()
            self._checkpoint.write_state(chain.index, chain.to_data())
        self._last[chain.index] = time.monotonic()


def run(
    plan: Plan,
    chains: Sequence[Chain],
    *,
    n_jobs: int = 1,
    sink: Sink | None = None,
    stop: Stop | None = None,
    executor: Executor | Callable[[], Executor] | None = None,
    checkpoint: Store | None = None,
    progress: bool = False,
) -> str:
    """Bring all chains to their end; how it ended: completed, stopped or interrupted. An error is raised as it is."""
    problem = chains[0].problem
    recorder = None if checkpoint is None else Recorder(checkpoint, plan, problem)
    if recorder is not None:
        recorder.begin(chains)
    halted, stopped, asking = threading.Event(), threading.Event(), threading.Lock()

    def should_stop() -> bool:
        if stop is not None and not halted.is_set():
            with asking:
                if stop():
                    stopped.set()
                    halted.set()
        return halted.is_set()

    bar = ProgressBar() if progress and sys.stderr.isatty() else None
    messages = None if sink is None else ProgressMessages(sink)
    said = 0

    def say(event: str, **content: Any) -> None:
        nonlocal said
        if sink is not None:
            sink({"type": f"bart.{event}/1", "part": "run", "seq": said} | content)
            said += 1

    def watch() -> None:
        if bar is not None:
            bar.update(chains)
        if messages is not None:
            messages.update(chains)

    error: BaseException | None = None
    try:
        say(
            "start",
            model=plan.model,
            digest=plan.digest(problem),
            settings=plan.settings,
            seed=plan.seed,
            columns=list(plan.names),
        )
        for chain in chains if sink is not None else ():  # what was drawn before
            first = 0
            for block in chain.blocks:
                send_draws(sink, chain, first, block)  # type: ignore[arg-type]
                first += len(block.variances)
        if executor is None:
            _in_threads(chains, n_jobs, sink, recorder, should_stop, halted, watch)
        else:
            _on_workers(problem, chains, executor, sink, recorder, should_stop, watch)
    except BaseException as failure:
        error = failure
    if bar is not None:
        bar.update(chains, last=True)
    status = "stopped" if stopped.is_set() else "completed"
    if isinstance(error, KeyboardInterrupt):
        status, error = "interrupted", None
    elif error is not None:
        status = "failed"
    error = _end(sink, say, status, error, chains)
    if error is not None:
        raise error
    return status


def _end(
    sink: Sink | None, say: Callable[..., None], status: str, error: BaseException | None, chains: Sequence[Chain]
) -> BaseException | None:
    """Say what is left to say; the first error of the run, or of saying it."""
    flush = getattr(sink, "flush", lambda: None)
    try:
        flush()  # the end is to come after every draw
        if error is not None:
            say("failure", error=f"{type(error).__name__}: {error}", recovered=False)
        say("end", status=status, draws=[chain.drawn for chain in chains])
        flush()
    except Exception as failure:
        return error or failure
    return error


def _in_threads(
    chains: Sequence[Chain],
    n_jobs: int,
    sink: Sink | None,
    recorder: Recorder | None,
    should_stop: Stop,
    halted: threading.Event,
    watch: Callable[[], None],
) -> None:
    def one(chain: Chain) -> None:
        def tell(blocks: list[Block]) -> None:
            for block in blocks if sink is not None else ():
                send_draws(sink, chain, chain.drawn - len(block.variances), block)  # type: ignore[arg-type]
            if recorder is not None:
                recorder.note(chain, blocks)

        try:
            chain.advance(should_stop, tell)
            if recorder is not None:
                recorder.note(chain, [], now=True)
        except BaseException:
            halted.set()
            raise

    with ThreadPoolExecutor(n_jobs) as pool:
        futures = [pool.submit(one, chain) for chain in chains if not chain.done]
        try:
            while wait(futures, _WATCH_SECONDS).not_done:
                watch()
        except BaseException:
            halted.set()
            raise
    for future in futures:
        future.result()


def _on_workers(
    problem: Problem,
    chains: Sequence[Chain],
    executor: Executor | Callable[[], Executor],
    sink: Sink | None,
    recorder: Recorder | None,
    should_stop: Stop,
    watch: Callable[[], None],
) -> None:
    unfinished = [chain for chain in chains if not chain.done]
    with Workers(executor) as workers:
        remote = workers.travels and getattr(sink, "remote", False)
        if remote:
            workers.check("sink", sink, "without remote=True it is called here instead")
            getattr(sink, "flush", lambda: None)()  # workers go on behind what was sent here
        tasks = Tasks(problem, workers.travels, sink if remote else None)

        def then(place: int, done: dict[str, Any]) -> dict[str, Any] | None:
            chain = unfinished[place]
            if "missing" in done:
                return tasks.first(chain)
            first = chain.drawn
            blocks = absorb(chain, done)
            for block in blocks if sink is not None and not remote else ():
                send_draws(sink, chain, first, block)  # type: ignore[arg-type]
                first += len(block.variances)
            if recorder is not None:
                recorder.note(chain, blocks, now=chain.done)
            return None if chain.done else tasks.next(chain)

        workers.run(
            advance,
            [tasks.first(chain) for chain in unfinished],
            names=[f"chain {chain.index}" for chain in unfinished],
            then=then,
            stop=should_stop,
            watch=watch,
        )
