"""What the chains of a run share: code compiled for a model, the shapes of its data and a kind of metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from livenuts.adaptation.fisher import Estimate
from livenuts.adaptation.warmup import most_directions
from livenuts.compiler.target import Bound, compile_constrain
from livenuts.kernel.metric import Diagonal, Metric, low_rank
from livenuts.runtime.iteration import width
from livenuts.runtime.program import Program, build_program, calls_host
from livenuts.runtime.settings import Settings

# Trees up to this depth share compiled code.
_DEPTH_LIMIT = 10


@dataclass
class Compiled:
    """What the chains of a run share: compiled code, and how fast it turned out to be."""

    program: Program
    constrain: Callable[..., dict[str, jax.Array]]
    """(data, record, count) -> values by name, of the record's first rows"""
    most_directions: int
    calls_host: bool
    """Whether the log density runs code that may raise."""
    seconds_per_draw: float | None = None
    """The size of the next run's first chunk; it has no bearing on the draws."""


def compile_chains(bound: Bound, settings: Settings) -> Compiled:
    """Compile what these chains need, or take what a run before left behind."""
    target = bound.target
    depth_limit = max(_DEPTH_LIMIT, settings.max_tree_depth)
    most = most_directions(settings.metric, target.dimension)
    key = (most, depth_limit, bound.shapes)
    with target.lock:
        if key not in target.programs:
            metric = make_metric(no_metric(target.dimension), most)
            program = build_program(bound.closed, bound.prepared, target.dimension, metric, depth_limit, target.width())
            constrain = compile_constrain(target, bound.data, program.rows, width(target.dimension))
            target.programs[key] = Compiled(program, constrain, most, calls_host(bound.closed))
        compiled: Compiled = target.programs[key]
    return compiled


def make_metric(estimate: Estimate, most: int) -> Metric:
    """The kernel's metric, in NumPy, with room for `most` directions."""
    if most == 0:
        return Diagonal(estimate.scale**2)
    return low_rank(estimate.scale, estimate.directions, estimate.variances, most)


def metric_vector(estimate: Estimate, most: int) -> np.ndarray:
    """`make_metric` as its layout packs it: scale, rows of directions, their variances, rank."""
    if most == 0:
        return estimate.scale**2
    rank, dimension = estimate.directions.shape
    rows, variances = dimension, dimension * (1 + most)
    vector = np.zeros(variances + most + 1)
    vector[:rows] = estimate.scale
    vector[rows : rows + rank * dimension] = estimate.directions.ravel()
    vector[variances:-1] = 1.0
    vector[variances : variances + rank] = estimate.variances
    vector[-1] = rank
    return vector


def read_metric(metric: Any) -> Estimate:
    """The estimate that a metric was made of."""
    if isinstance(metric, Diagonal):
        scale = np.sqrt(np.asarray(metric.inverse_mass))
        return Estimate(scale, np.empty((0, scale.shape[0])), np.empty(0))
    rank = int(metric.rank)
    directions, variances = np.concatenate(metric.directions), np.concatenate(metric.variances)
    return Estimate(np.array(metric.scale), directions[:rank], variances[:rank])


def no_metric(dimension: int) -> Estimate:
    """The unit metric."""
    return Estimate(np.ones(dimension), np.empty((0, dimension)), np.empty(0))
