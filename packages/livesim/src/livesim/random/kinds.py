"""The kinds of distribution that the samplers know, and what is wrong with a kind's parameters."""

import itertools
import math
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import NamedTuple

LARGEST_COUNT = 1e9
"""Counts above it would be drawn with an acceptance probability that is off by more than 1e-5."""

FARTHEST_TRUNCATION = 1e6
"""Standard deviations from the mean within which a truncated normal's interval must begin."""

SMALLEST_SHAPE, LARGEST_SHAPE = 1e-300, 1e300
"""Shapes of a beta: their ratio, and a logarithm divided by one, must not overflow."""

MOST_VARIED = 1e100
"""The largest coefficient of variation of a lognormal: its square must not overflow."""


class Kind(IntEnum):
    """A sampler; the comment names its parameters, in the order p0, p1, p2, p3.

    Kinds from DISCRETE on read a flat table: p0 is where their part of it begins, p1 how many entries it describes
    (`livesim.random.tables` makes the parts).
    """

    CONSTANT = 0  # value
    UNIFORM = 1  # low, high
    EXPONENTIAL = 2  # mean
    EXPONENTIAL_RATE = 3  # rate
    TRIANGULAR = 4  # low, mode, high
    NORMAL = 5  # mean, sd
    TRUNCATED_NORMAL = 6  # mean, sd, low, high
    LOGNORMAL = 7  # mu, sigma
    LOGNORMAL_MEAN = 8  # mean, sd
    GAMMA = 9  # shape, scale
    ERLANG = 10  # stages, mean
    WEIBULL = 11  # shape, scale
    BETA = 12  # a, b, low, high
    PARETO = 13  # shape, minimum
    PERT = 14  # low, mode, high, weight
    BERNOULLI = 15  # p
    DISCRETE_UNIFORM = 16  # low, high
    GEOMETRIC = 17  # p
    BINOMIAL = 18  # n, p
    NEGATIVE_BINOMIAL = 19  # r, p
    POISSON = 20  # mean
    DISCRETE = 21  # cumulative weights, guide, values
    HYPEREXPONENTIAL = 22  # cumulative probabilities, guide, means
    EMPIRICAL = 23  # observations
    EMPIRICAL_INTERPOLATED = 24  # sorted observations
    TABULATED = 25  # knots (p1 + 1), guide, four coefficients an interval
    TRACE = 26  # values; p2 is the TraceEnd


class TraceEnd(IntEnum):
    """What a trace gives past its last value."""

    ERROR = 0
    REPEAT = 1
    LAST = 2


class Rule(NamedTuple):
    """A condition on some of a kind's parameters, and the words for it when it fails."""

    indices: tuple[int, ...]
    holds: Callable[..., bool]
    wanted: str


NAMES: dict[Kind, tuple[str, ...]] = {
    Kind.CONSTANT: ("value",),
    Kind.UNIFORM: ("low", "high"),
    Kind.EXPONENTIAL: ("mean",),
    Kind.EXPONENTIAL_RATE: ("rate",),
    Kind.TRIANGULAR: ("low", "mode", "high"),
    Kind.NORMAL: ("mean", "sd"),
    Kind.TRUNCATED_NORMAL: ("mean", "sd", "low", "high"),
    Kind.LOGNORMAL: ("mu", "sigma"),
    Kind.LOGNORMAL_MEAN: ("mean", "sd"),
    Kind.GAMMA: ("shape", "scale"),
    Kind.ERLANG: ("stages", "mean"),
    Kind.WEIBULL: ("shape", "scale"),
    Kind.BETA: ("a", "b", "low", "high"),
    Kind.PARETO: ("shape", "minimum"),
    Kind.PERT: ("low", "mode", "high", "weight"),
    Kind.BERNOULLI: ("p",),
    Kind.DISCRETE_UNIFORM: ("low", "high"),
    Kind.GEOMETRIC: ("p",),
    Kind.BINOMIAL: ("n", "p"),
    Kind.NEGATIVE_BINOMIAL: ("r", "p"),
    Kind.POISSON: ("mean",),
}
"""The parameters' names, in the samplers' order; kinds with a table have none that a user gives."""


def _finite(i: int) -> Rule:
    return Rule((i,), math.isfinite, "a finite number")


def _non_negative(i: int) -> Rule:
    return Rule((i,), lambda x: 0.0 <= x < math.inf, "a finite number of at least 0")


def _positive(i: int) -> Rule:
    return Rule((i,), lambda x: 0.0 < x < math.inf, "a finite number above 0")


def _probability(i: int) -> Rule:
    return Rule((i,), lambda x: 0.0 <= x <= 1.0, "a probability, from 0 to 1")


def _positive_probability(i: int) -> Rule:
    return Rule((i,), lambda x: 0.0 < x <= 1.0, "a probability above 0, at most 1")


def _beta_shape(i: int) -> Rule:
    wanted = f"a number from {SMALLEST_SHAPE:g} to {LARGEST_SHAPE:g}"
    return Rule((i,), lambda x: SMALLEST_SHAPE <= x <= LARGEST_SHAPE, wanted)


def _whole(i: int, least: int) -> Rule:
    return Rule(
        (i,),
        lambda x: least <= x <= LARGEST_COUNT and x == math.floor(x),
        f"a whole number from {least} to {LARGEST_COUNT:g}",
    )


def _ordered(*indices: int) -> Rule:
    # The width must be finite too, or the interval's interior could not be computed.
    return Rule(
        indices,
        lambda *x: all(a <= b for a, b in itertools.pairwise(x)) and math.isfinite(x[-1] - x[0]),
        "in this order, with a finite distance",
    )


def _mode_inside() -> list[Rule]:
    return [_finite(0), _finite(1), _finite(2), _ordered(0, 1), _ordered(1, 2), _ordered(0, 1, 2)]


def _interval_near(mean: float, sd: float, low: float, high: float) -> bool:
    if sd == 0.0:
        return low <= mean <= high
    return (low - mean) / sd <= FARTHEST_TRUNCATION and (mean - high) / sd <= FARTHEST_TRUNCATION


RULES: dict[Kind, list[Rule]] = {
    Kind.CONSTANT: [_finite(0)],
    Kind.UNIFORM: [_finite(0), _finite(1), _ordered(0, 1)],
    Kind.EXPONENTIAL: [_non_negative(0)],
    Kind.EXPONENTIAL_RATE: [_positive(0)],
    Kind.TRIANGULAR: _mode_inside(),
    Kind.NORMAL: [_finite(0), _non_negative(1)],
    Kind.TRUNCATED_NORMAL: [
        _finite(0),
        _non_negative(1),
        Rule((2, 3), lambda low, high: low <= high and low < math.inf and high > -math.inf, "in this order"),
        Rule(
            (0, 1, 2, 3),
            _interval_near,
            f"such that the interval comes within {FARTHEST_TRUNCATION:g} sd of the mean (and holds it if sd is 0)",
        ),
    ],
    Kind.LOGNORMAL: [_finite(0), _non_negative(1)],
    Kind.LOGNORMAL_MEAN: [
        _positive(0),
        _non_negative(1),
        Rule((0, 1), lambda mean, sd: sd / mean <= MOST_VARIED, f"such that sd / mean is at most {MOST_VARIED:g}"),
    ],
    Kind.GAMMA: [_positive(0), _non_negative(1)],
    Kind.ERLANG: [_whole(0, 1), _non_negative(1)],
    Kind.WEIBULL: [_positive(0), _positive(1)],
    Kind.BETA: [_beta_shape(0), _beta_shape(1), _finite(2), _finite(3), _ordered(2, 3)],
    Kind.PARETO: [_positive(0), _positive(1)],
    Kind.PERT: [*_mode_inside(), _non_negative(3)],
    Kind.BERNOULLI: [_probability(0)],
    Kind.DISCRETE_UNIFORM: [
        *(
            Rule(
                (i,), lambda x: abs(x) <= LARGEST_COUNT and x == math.floor(x), "a whole number, at most 1e+09 in size"
            )
            for i in (0, 1)
        ),
        _ordered(0, 1),
    ],
    Kind.GEOMETRIC: [_positive_probability(0)],
    Kind.BINOMIAL: [_whole(0, 0), _probability(1)],
    Kind.NEGATIVE_BINOMIAL: [
        _positive(0),
        _positive_probability(1),
        Rule((1,), lambda p: (1.0 - p) / p <= LARGEST_COUNT, f"such that (1 - p) / p is at most {LARGEST_COUNT:g}"),
        Rule(
            (0, 1),
            lambda r, p: r * ((1.0 - p) / p) <= LARGEST_COUNT,
            f"such that the mean r (1 - p) / p is at most {LARGEST_COUNT:g}",
        ),
    ],
    Kind.POISSON: [Rule((0,), lambda x: 0.0 <= x <= LARGEST_COUNT, f"a number from 0 to {LARGEST_COUNT:g}")],
}


def check(kind: int, parameters: Sequence[object]) -> str | None:
    """What is wrong with a kind's constant parameters, in words, or None.

    A parameter that is not a number is an expression, whose value is not known yet: conditions on it are left to the
    run, where `draw` gives NaN for exactly the parameters that this function would refuse.

    >>> check(Kind.NORMAL, (10, -1))
    'sd must be a finite number of at least 0, got -1'
    """
    names = NAMES.get(Kind(kind), ())
    for rule in RULES.get(Kind(kind), []):
        values = [parameters[i] for i in rule.indices]
        if all(isinstance(value, int | float) for value in values) and not rule.holds(*values):
            if len(values) == 1:
                return f"{names[rule.indices[0]]} must be {rule.wanted}, got {values[0]}"
            got = ", ".join(f"{names[i]}={value}" for i, value in zip(rule.indices, values, strict=True))
            return f"{', '.join(names[i] for i in rule.indices)} must be {rule.wanted}, got {got}"
    return None
