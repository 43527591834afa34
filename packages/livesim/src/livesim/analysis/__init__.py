"""Output analysis: what a simulation's numbers say, as pure functions on arrays."""

from livesim.analysis.comparison import against_standard, all_pairs, compare_paired, simultaneous
from livesim.analysis.intervals import Interval, mean_interval, student_quantile, time_average
from livesim.analysis.precision import Precision, replicate_until, replications_needed
from livesim.analysis.quantiles import batched_quantile_interval, quantile_interval
from livesim.analysis.selection import Selection, kim_nelson, rinott, rinott_constant, rinott_sizes
from livesim.analysis.steady_state import (
    BatchMeans,
    Warmup,
    batch_means,
    lag_one_test,
    mser5,
    overlapping_batch_means,
    overlapping_batch_ratio,
    welch,
)
from livesim.analysis.variance_reduction import ControlledInterval, control_variates

__all__ = [
    "BatchMeans",
    "ControlledInterval",
    "Interval",
    "Precision",
    "Selection",
    "Warmup",
    "against_standard",
    "all_pairs",
    "batch_means",
    "batched_quantile_interval",
    "compare_paired",
    "control_variates",
    "kim_nelson",
    "lag_one_test",
    "mean_interval",
    "mser5",
    "overlapping_batch_means",
    "overlapping_batch_ratio",
    "quantile_interval",
    "replicate_until",
    "replications_needed",
    "rinott",
    "rinott_constant",
    "rinott_sizes",
    "simultaneous",
    "student_quantile",
    "time_average",
    "welch",
]
