"""`sample` and `stream`: chains in threads, one each, and what they made."""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import numpy as np

from livenuts.adaptation.warmup import Warmup, most_directions
from livenuts.compiler.target import Bound, compile_constrain, compile_model
from livenuts.compiler.x64 import x64
from livenuts.messages import Message, Sink
from livenuts.result import Result
from livenuts.runtime import vectorized
from livenuts.runtime.chain import ChainRun, Compiled, make_metric, no_metric, read_metric, statistics_columns
from livenuts.runtime.crew import Crew
from livenuts.runtime.iteration import STATISTICS
from livenuts.runtime.program import build_program
from livenuts.runtime.progress import ProgressBar, ProgressMessages
from livenuts.runtime.settings import Settings, entropy
from livenuts.tuning import Tuning

# Trees up to this depth share compiled code.
_DEPTH_LIMIT = 10


def sample(
    model: Any,
    *,
    num_warmup: int = 1000,
    num_samples: int = 1000,
    num_chains: int = 4,
    seed: int | None = None,
    target_accept: float = 0.8,
    max_tree_depth: int = 10,
    metric: str = "auto",
    adaptation: str = "pooled",
    early_stop: bool = True,
    chain_method: str = "threads",
    init: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    warm_start: Tuning | Result | None = None,
    sink: Sink | None = None,
    stop: Callable[[], bool] | None = None,
    progress: bool = True,
) -> Result:
    """Draw from a model's posterior by NUTS.

    Parameters
    ----------
    model
        A `Model`, a called `@model` function, or what `from_logdensity` or `from_numpyro` returns.
    num_warmup, num_samples, num_chains
        Iterations of warm-up at most, and draws, of each chain; each chain runs in a thread.
    seed
        A non-negative integer; the same seed gives the same bits. None draws entropy, kept in the result.
    target_accept
        The mean acceptance that warm-up tunes the step size to, between 0 and 1.
    max_tree_depth
        A trajectory has at most 2^max_tree_depth - 1 leapfrog steps.
    metric
        The inverse mass matrix: "diag", a scale a parameter; "low_rank", other scales along a few directions too;
        "dense"; "auto", directions only where they fit draws that they were not learned from.
    adaptation
        "pooled": the chains learn one metric from all their draws; "independent": each its own.
    early_stop
        End warm-up as soon as a metric is confirmed by the draws made with it and the log density no longer drifts,
        looked at after 100, 150, 225, ... draws. False makes all `num_warmup` iterations.
    chain_method
        "threads": a chain a thread, the better choice on a CPU; "vectorized": all chains in one program on JAX's
        default device, for hundreds of chains on a GPU.
    init
        Constrained starting values by variable, for all chains or as one mapping a chain. Variables left out start at
        uniform random positions on (-2, 2) of their unconstrained scale (Stan's default).
    warm_start
        Another run's tuning: start at its positions with its metric and step sizes. After 50 iterations warm-up ends
        if the metric still fits, else it learns a new one.
    sink
        Called with every message (`livenuts.messages`), from the chains' threads. If it raises, the run stops and the
        error is raised again, with the draws so far in its attribute `result`.
    stop
        Asked between chunks of draws; when it returns True the run ends and keeps its draws.
    progress
        Show a progress bar, where a terminal or a notebook is there to show it.

    Returns
    -------
    Result
        With `draws[name]` of shape (chain, draw, *shape). After Ctrl-C or `stop` it holds what was drawn, cut to the
        shortest chain that has draws.

    Raises
    ------
    ValueError, TypeError
        For a model, data or setting that cannot be right; the message names it.
    """
    settings = Settings(
        num_warmup,
        num_samples,
        num_chains,
        target_accept,
        max_tree_depth,
        metric,
        adaptation,
        early_stop,
        chain_method,
    )
    together = settings.chain_method == "vectorized"
    if together:
        vectorized.check(settings)
    run_seed = entropy(seed)
    tuning = warm_start.tuning if isinstance(warm_start, Result) else warm_start
    if tuning is not None and not isinstance(tuning, Tuning):
        raise TypeError(f"warm_start takes a result or its tuning, got {warm_start!r:.60}")
    if tuning is not None and init is not None:
        raise ValueError("init and warm_start both give starting positions: leave one out")
    for name, called in (("sink", sink), ("stop", stop)):
        if called is not None and not callable(called):
            raise TypeError(f"{name} must be callable, got {called!r:.60}")

    began = time.perf_counter()
    bound = compile_model(model)
    starts = _starting_values(init, settings.num_chains)
    if together:
        chains = vectorized.make_chains(bound, settings, run_seed, sink)
    else:
        compiled = _compile(bound, settings)
        chains = [ChainRun(k, bound, compiled, settings, run_seed, sink) for k in range(settings.num_chains)]
    if tuning is not None:
        tuning.check(chains[0].compiled.most_directions, bound.target.dimension)
    compile_seconds = time.perf_counter() - began

    groups = _start(chains, starts, tuning)
    if sink is not None:
        sink(_start_message(bound, settings, run_seed, tuning))
    status, error = _run(groups, settings, sink, stop, progress)
    result = _collect(chains, settings, run_seed, status, compile_seconds)
    if sink is not None:
        error = _finish(sink, status, error, chains)
    if error is not None:
        with contextlib.suppress(AttributeError):
            error.result = result  # type: ignore[attr-defined]
        error.add_note("the draws made before this error are in its attribute `result`")
        raise error
    if 0 < result.num_chains < settings.num_chains:
        made = ", ".join(str(chain.kept) for chain in chains)
        warnings.warn(f"stopped before every chain had draws ({made}): chains without are left out", stacklevel=2)
    if status == "interrupted":
        if not any(chain.kept for chain in chains):
            raise KeyboardInterrupt
        warnings.warn(f"interrupted: the result holds {result.num_draws} draws a chain", stacklevel=2)
    return result


def _starting_values(init: Any, num_chains: int) -> list[dict[str, Any]]:
    if init is None:
        return [{} for _ in range(num_chains)]
    if isinstance(init, Mapping):
        return [dict(init) for _ in range(num_chains)]
    if isinstance(init, Sequence) and all(isinstance(start, Mapping) for start in init) and len(init) == num_chains:
        return [dict(start) for start in init]
    raise ValueError(
        f"init takes a mapping of names to values, or one for each of the {num_chains} chains, got {init!r:.80}"
    )


def _compile(bound: Bound, settings: Settings) -> Compiled:
    target = bound.target
    depth_limit = max(_DEPTH_LIMIT, settings.max_tree_depth)
    most = most_directions(settings.metric, target.dimension)
    key = (most, depth_limit, bound.shapes)
    with target.lock:
        if key not in target.programs:
            metric = make_metric(no_metric(target.dimension), most)
            program = build_program(bound.closed, bound.prepared, target.dimension, metric, depth_limit, target.width())
            target.programs[key] = Compiled(program, compile_constrain(target, bound.data, program.rows), most)
        compiled: Compiled = target.programs[key]
    return compiled


Group = tuple[list[ChainRun], Warmup]
"""Chains that learn together."""


def _start(chains: list[ChainRun], starts: list[dict[str, Any]], tuning: Tuning | None) -> list[Group]:
    settings, dimension = chains[0].settings, chains[0].bound.target.dimension

    def warmup(first: ChainRun) -> Warmup:
        known = None if tuning is None else tuning.metrics()[first.index % len(tuning.step_size)]
        return Warmup(
            settings.metric,
            dimension,
            settings.num_warmup,
            settings.target_accept,
            early_stop=settings.early_stop,
            start=known,
        )

    members = [chains] if settings.adaptation == "pooled" else [[chain] for chain in chains]
    groups = [(group, warmup(group[0])) for group in members]
    with x64():
        for group, lessons in groups:
            for chain in group:
                if tuning is None:
                    chain.start(starts[chain.index], lessons)
                else:
                    chain.start_warm(tuning)
                if settings.num_warmup == 0:
                    chain.warmed = 0
    return groups


def _run(
    groups: list[Group],
    settings: Settings,
    sink: Sink | None,
    stop: Callable[[], bool] | None,
    progress: bool,
) -> tuple[str, BaseException | None]:
    """Run the chains to their end, each in a thread; how it ended, and the error if one did."""
    chains = [chain for group, _ in groups for chain in group]
    halted = threading.Event()
    stopped = threading.Event()
    asking = threading.Lock()

    def should_stop() -> bool:
        if stop is not None and not halted.is_set():
            with asking:
                if stop():
                    stopped.set()
                    halted.set()
        return halted.is_set()

    bar = ProgressBar(chains) if progress else None
    messages = ProgressMessages(sink, settings.num_warmup) if sink is not None else None

    def watch() -> None:
        if bar is not None:
            bar.update(chains)
        if messages is not None:
            messages.update(chains)

    crew = Crew(len(chains), halted)
    error: BaseException | None = None
    try:
        if settings.chain_method == "vectorized":
            crew.run(lambda: vectorized.run_together(*groups[0], should_stop), watch)
        else:
            crew.run(lambda: _conduct(groups, crew, should_stop), watch)
    except BaseException as failure:
        error = failure
    finally:
        if bar is not None:
            bar.update(chains)
            bar.close()
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", None
    if error is not None:
        return "failed", error
    return ("stopped" if stopped.is_set() else "completed"), None


def _conduct(groups: list[Group], crew: Crew, stop: Callable[[], bool]) -> None:
    """Warm-up lesson by lesson, where chains learn together, then the draws; or each chain all of it alone."""

    def alone(group: Group) -> None:
        chains, warmup = group
        while not stop() and chains[0].warmed is None:
            chains[0].run(warmup.until, stop)
            _learn(chains, warmup, stop)
        draw(chains[0])

    def draw(chain: ChainRun) -> None:
        if chain.warmed is not None:
            chain.run(chain.total, stop)

    if len(groups) > 1:
        crew.each(alone, groups, math.inf)
        return
    chains, warmup = groups[0]
    while not stop() and chains[0].warmed is None:
        crew.each(lambda chain: chain.run(warmup.until, stop), chains, chains[0].expected_seconds(warmup.until))
        _learn(chains, warmup, stop)
    crew.each(draw, chains, chains[0].expected_seconds(chains[0].total))


def _learn(chains: list[ChainRun], warmup: Warmup, stop: Callable[[], bool]) -> None:
    if not stop():
        lesson = warmup.learn([chain.take_stretch() for chain in chains])
        for chain in chains:
            chain.learn(lesson)


def _start_message(bound: Bound, settings: Settings, seed: int, tuning: Tuning | None) -> Message:
    target = bound.target
    return {
        "type": "nuts.start/1",
        "part": "run",
        "seq": 0,
        "model": bound.description.name,
        "digest": target.digest(bound.data),
        "settings": settings.to_dict() | {"warm_start": tuning is not None},
        "seed": seed,
        "variables": [
            {
                "name": item.name,
                "shape": list(item.shape),
                "dims": None if item.dims is None else list(item.dims),
            }
            for item in target.outputs
        ],
    }


def _finish(sink: Sink, status: str, error: BaseException | None, chains: list[ChainRun]) -> BaseException | None:
    """Send what is left to say and flush; the first error of the run, or of saying it."""
    flush = getattr(sink, "flush", lambda: None)
    try:
        flush()  # the end is to come after every draw
        number = 1
        if error is not None:
            text = f"{type(error).__name__}: {error}"
            sink({"type": "nuts.failure/1", "part": "run", "seq": number, "error": text})
            number += 1
        draws = [chain.kept for chain in chains]
        sink({"type": "nuts.end/1", "part": "run", "seq": number, "status": status, "draws": draws})
        flush()
    except Exception as failure:
        return error or failure
    return error


def _collect(chains: list[ChainRun], settings: Settings, seed: int, status: str, compile_seconds: float) -> Result:
    bound, compiled = chains[0].bound, chains[0].compiled
    lengths = [chain.kept for chain in chains]
    used = [chain for chain in chains if chain.kept] or chains
    shortest = min(chain.kept for chain in used)
    shapes = {item.name: item.shape for item in bound.target.outputs}

    def joined(blocks: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
        return np.concatenate(blocks)[:shortest] if blocks else np.empty((0, *shape))

    draws = {name: np.stack([joined(c.draws[name], shape) for c in used]) for name, shape in shapes.items()}
    rows = np.stack([joined(chain.statistics, (len(STATISTICS),)) for chain in used])
    stats = statistics_columns(rows)
    stats["reached_max_treedepth"] = (stats["tree_depth"] == settings.max_tree_depth) & ~stats["diverging"]
    states = [chain.final_state() for chain in chains]
    tuning = Tuning.of(
        settings.metric,
        [read_metric(state.metric) for state in states],
        step_size=np.array([float(np.exp(state.averaging.log_step)) for state in states]),
        positions=np.stack([np.array(state.state.position) for state in states]),
        num_warmup=np.array([chain.made if chain.warmed is None else chain.warmed for chain in chains]),
        native=compiled.program.native,
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
        seed=seed,
        settings=settings.to_dict(),
        status=status,
        lengths=lengths,
        dims=bound.target.dims() | {n: d for n, d in description.data_dims.items() if n in observed},
        coords={dim: list(labels) for dim, labels in description.coords.items()},
        observed=observed,
    )


class _Closed(Exception):
    """The listener of a stream is gone."""


def stream(model: Any, *, buffer: int = 10_000, **arguments: Any) -> Generator[Message, None, Result]:
    """The messages of `sample(model, **arguments)`, pulled as they come; a generator.

    Closing the generator stops the run. `buffer` messages at most wait for the listener; then the sampler waits.
    The generator's return value (`StopIteration.value`) is the result.
    """
    if isinstance(buffer, bool) or not isinstance(buffer, int) or buffer < 1:
        raise ValueError(f"buffer must be a positive integer, got {buffer!r}")
    if "sink" in arguments:
        raise TypeError("stream is its own sink; give sink= to sample")
    arguments.setdefault("progress", False)
    messages: queue.Queue[Message | None] = queue.Queue(maxsize=buffer)
    closed = threading.Event()
    wanted_stop: Callable[[], bool] = arguments.pop("stop", None) or (lambda: False)
    outcome: list[Any] = []

    def put(message: Message | None) -> None:
        while not closed.is_set():
            with contextlib.suppress(queue.Full):
                messages.put(message, timeout=0.1)
                return
        raise _Closed

    def work() -> None:
        try:
            outcome.append(sample(model, sink=put, stop=lambda: closed.is_set() or wanted_stop(), **arguments))
        except BaseException as error:
            outcome.append(error)
        with contextlib.suppress(_Closed):
            put(None)

    thread = threading.Thread(target=work, name="livenuts-stream", daemon=True)
    thread.start()
    try:
        while (message := messages.get()) is not None:
            yield message
    finally:
        closed.set()
        thread.join()
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]
