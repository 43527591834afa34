"""`sample`, `resume` and `extend`: what a user calls, and what is checked at that door."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np

from livenuts.compiler.portable import from_plain
from livenuts.compiler.target import compile_model
from livenuts.inference.starting import check_method, fitted_positions
from livenuts.messages import Sink
from livenuts.result import Result
from livenuts.runtime.checkpoint import Checkpoint, CheckpointError, Store
from livenuts.runtime.iteration import STATISTICS
from livenuts.runtime.record import (
    Record,
    differences,
    fingerprint,
    make_manifest,
    newest,
    read_manifest,
    refuse,
    versions,
)
from livenuts.runtime.run import Run
from livenuts.runtime.settings import Settings, entropy
from livenuts.runtime.tasks import Workers, check_executor
from livenuts.runtime.vectorized import check as check_vectorized
from livenuts.tuning import Tuning


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
    num_superchains: int | None = None,
    init: Mapping[str, Any] | Sequence[Mapping[str, Any]] | str | None = None,
    warm_start: Tuning | Result | None = None,
    sink: Sink | None = None,
    stop: Callable[[], bool] | None = None,
    executor: Executor | Callable[[], Executor] | None = None,
    checkpoint: Store | None = None,
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
        "dense"; "auto", directions only where a trial during warm-up shows that they save steps.
    adaptation
        "pooled": the chains learn one metric from all their draws; "independent": each its own.
    early_stop
        End warm-up as soon as a metric is confirmed by the draws made with it and the log density no longer drifts,
        looked at after 100, 150, 225, ... draws. False makes all `num_warmup` iterations.
    chain_method
        "threads": a chain a thread, the better choice on a CPU; "vectorized": all chains in one program on JAX's
        default device, for hundreds of chains on a GPU.
    num_superchains
        For many short chains: they start in so many groups, each from one position, one group after the other, and the
        summary judges them by nested R-hat in place of R-hat, which wants long chains. A divisor of `num_chains`.
    init
        Constrained starting values by variable, for all chains or as one mapping a chain. Variables left out start at
        uniform random positions on (-2, 2) of their unconstrained scale (Stan's default). "pathfinder", "advi" or
        "smc": draws of that fit, made first with its defaults and this seed (eight of them at most).
    warm_start
        Another run's tuning: start at its positions with its metric and step sizes. After 50 iterations warm-up ends
        if the metric still fits, else it learns a new one.
    sink
        Called with every message (`livenuts.messages`), from the chains' threads. If it raises, the run stops and the
        error is raised again, with the draws so far in its attribute `result`.
    stop
        Asked between chunks of draws; when it returns True the run ends and keeps its draws.
    executor
        Where chains are computed: any `concurrent.futures.Executor`, or a function without arguments that makes one,
        which is called again when the pool breaks. None computes them in threads here. The draws are the same bits.
    checkpoint
        A path (a folder is made there) or a mapping of str to bytes. The run is kept there, about once a second; the
        same call, or `resume`, goes on with it after a crash.
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
        num_superchains,
    )
    if settings.chain_method == "vectorized":
        check_vectorized(settings, executor=executor, checkpoint=checkpoint)
    run_seed = entropy(seed)
    tuning = warm_start.tuning if isinstance(warm_start, Result) else warm_start
    if tuning is not None and not isinstance(tuning, Tuning):
        raise TypeError(f"warm_start takes a result or its tuning, got {warm_start!r:.60}")
    if tuning is not None and init is not None:
        raise ValueError("init and warm_start both give starting positions: leave one out")
    _check(executor, sink=sink, stop=stop)
    place = None if checkpoint is None else Checkpoint(checkpoint)
    starts = [] if isinstance(init, str) else _starting_values(init, settings.num_chains)
    if isinstance(init, str):
        check_method(init)

    began = time.perf_counter()
    manifest = None if place is None else read_manifest(place)
    if manifest is not None and seed is None:
        run_seed = manifest["seed"]
    run = _prepare(model, settings, run_seed, tuning is not None)
    if tuning is not None:
        tuning.check(run.compiled.most_directions, run.bound.target.dimension)
    compile_seconds = time.perf_counter() - began
    record = None
    if manifest is None:
        run.start(fitted_positions(model, init, run_seed, num_chains) if isinstance(init, str) else starts, tuning)
    if place is not None:
        asked = _asked(run) | {"start": fingerprint(init, tuning)}
        if manifest is None:
            record = Record(place, run.chains, run.state)
            record.begin(make_manifest(model, run.bound.description.name, asked))
        else:
            refuse(place, differences(manifest, asked))
            record = _restored(run, place)
    return _go(run, record, executor, sink=sink, stop=stop, progress=progress, compile_seconds=compile_seconds)


def resume(
    checkpoint: Store,
    *,
    model: Any = None,
    sink: Sink | None = None,
    stop: Callable[[], bool] | None = None,
    executor: Executor | Callable[[], Executor] | None = None,
    progress: bool = True,
) -> Result:
    """Finish the run that a checkpoint holds: the draws are those of a run that nothing disturbed.

    A sink hears the whole run, from its first message on; what it heard before has the same parts and numbers. The
    model is rebuilt from the checkpoint; one whose function has no import path is given again as `model`.

    Raises
    ------
    CheckpointError
        A ValueError, where the checkpoint is missing, damaged, of another model, or of other library versions.
    """
    _check(executor, sink=sink, stop=stop)
    place = Checkpoint(checkpoint)
    manifest = read_manifest(place)
    if manifest is None:
        raise CheckpointError(f"checkpoint {place.shown} holds no run")
    began = time.perf_counter()
    if model is None:
        if manifest["model"]["kind"] == "none":
            raise CheckpointError(
                f"checkpoint {place.shown} cannot rebuild its model ({manifest['model']['reason']}); "
                "give it: ln.resume(checkpoint, model=...)"
            )
        model = from_plain(manifest["model"])
    run = _prepare(model, Settings(**manifest["settings"]), manifest["seed"], manifest["warm_start"])
    refuse(place, differences(manifest, _asked(run)))
    record = _restored(run, place)
    seconds = time.perf_counter() - began
    return _go(run, record, executor, sink=sink, stop=stop, progress=progress, compile_seconds=seconds)


def extend(
    result: Result,
    num_samples: int,
    *,
    model: Any = None,
    sink: Sink | None = None,
    stop: Callable[[], bool] | None = None,
    executor: Executor | Callable[[], Executor] | None = None,
    checkpoint: Store | None = None,
    progress: bool = True,
) -> Result:
    """`num_samples` more draws of each chain: the result of one longer run, to the bit.

    A sink hears that longer run from its start. A result that was loaded from a file rebuilds its model; one whose
    function has no import path is given again as `model`.
    """
    if not isinstance(result, Result):
        raise TypeError(f"extend takes a result, got {result!r:.60}")
    if isinstance(num_samples, bool) or not isinstance(num_samples, (int, np.integer)) or num_samples < 1:
        raise ValueError(f"num_samples must be a positive integer, got {num_samples!r}")
    _check(executor, sink=sink, stop=stop)
    if result.method != "nuts":
        raise ValueError(f"extend needs a result of ln.sample; give this one, of ln.{result.method}, as warm_start=")
    if result.settings.get("chain_method") == "vectorized":
        raise ValueError("extend needs a result of chain_method='threads'; of 'vectorized' chains no state is kept")
    kept = result.continuation
    if kept is None or set(result.lengths) != {result.num_draws} or result.num_draws < result.settings["num_samples"]:
        raise ValueError(
            f"extend goes on from a run that was completed; this one is {result.status!r} with {result.lengths} draws"
        )
    place = None if checkpoint is None else Checkpoint(checkpoint)
    if place is not None and read_manifest(place) is not None:
        raise CheckpointError(f"checkpoint {place.shown} holds a run already; ln.resume finishes it")
    model = kept.model if model is None else model
    if model is None:
        raise ValueError("the result cannot rebuild its model, which has no import path: give it, extend(..., model=)")
    began = time.perf_counter()
    model = from_plain(model) if isinstance(model, dict) else model
    settings = Settings(**result.settings | {"num_samples": result.num_draws + int(num_samples)})
    run = _prepare(model, settings, result.seed, kept.warm_start)
    if run.digest != kept.digest() or run.bound.target.names() != list(result.draws):
        raise ValueError("extend: the model, its data or a library is not what the result was made with")
    rows = [
        np.column_stack([result.stats[name][k] for name in STATISTICS]).astype(float) for k in range(len(run.chains))
    ]
    draws = [{name: values[k] for name, values in result.draws.items()} for k in range(len(run.chains))]
    blocks = [[{"statistics": rows[k], "draws": draws[k]}] if result.num_draws else [] for k in range(len(run.chains))]
    run.restore(kept.state, blocks)
    record = None
    if place is not None:
        record = Record(place, run.chains, run.state)
        asked = _asked(run) | {"start": ""}
        record.begin(make_manifest(model, run.bound.description.name, asked))
    seconds = time.perf_counter() - began
    return _go(run, record, executor, sink=sink, stop=stop, progress=progress, compile_seconds=seconds)


def _prepare(model: Any, settings: Settings, seed: int, warm_start: bool) -> Run:
    bound = compile_model(model)
    return Run(model, bound, settings, seed, warm_start)


def _asked(run: Run) -> dict[str, Any]:
    """What tells one run from another."""
    return {
        "digest": run.digest,
        "variables": [[item.name, list(item.shape)] for item in run.bound.target.outputs],
        "settings": run.settings.to_dict(),
        "seed": run.seed,
        "warm_start": run.warm_start,
        "versions": versions(),
    }


def _restored(run: Run, place: Checkpoint) -> Record:
    state, blocks = newest(place)
    run.restore(state, blocks)
    place.take_over()
    return Record(place, run.chains, run.state)


def _go(run: Run, record: Record | None, executor: Any, **arguments: Any) -> Result:
    with contextlib.ExitStack() as stack:
        workers = None if executor is None else stack.enter_context(Workers(executor))
        return run.go(workers=workers, record=record, **arguments)


def _check(executor: Any, **given: Any) -> None:
    if executor is not None:
        check_executor(executor)
    for name, called in given.items():
        if called is not None and not callable(called):
            raise TypeError(f"{name} must be callable, got {called!r:.60}")


def _starting_values(init: Any, num_chains: int) -> list[dict[str, Any] | np.ndarray]:
    if init is None:
        return [{} for _ in range(num_chains)]
    if isinstance(init, Mapping):
        return [dict(init) for _ in range(num_chains)]
    if isinstance(init, Sequence) and all(isinstance(start, Mapping) for start in init) and len(init) == num_chains:
        return [dict(start) for start in init]
    raise ValueError(
        f"init takes a mapping of names to values, one for each of the {num_chains} chains, or a method's name, "
        f"got {init!r:.80}"
    )
