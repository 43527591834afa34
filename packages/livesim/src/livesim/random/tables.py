"""The layouts of the tables that samplers read, each with a guide that finds an entry in about two comparisons.

Chen and Asau 1974, "On generating random variates from an empirical distribution": with n entries, the guide's j-th
says where the search for a uniform between j / n and (j + 1) / n begins.
"""

from bisect import bisect_left
from collections.abc import Sequence

ROUNDING = 1.0 - 2.0**-50
"""u * n may be rounded up to j where u is less than j / n by its last bit."""


def weighted(cumulative: Sequence[float], values: Sequence[float]) -> tuple[float, ...]:
    """For DISCRETE and HYPEREXPONENTIAL: ascending cumulative weights whose last is 1, their guide, the values."""
    return (*cumulative, *guide(cumulative), *values)


def tabulated(knots: Sequence[float], coefficients: Sequence[float]) -> tuple[float, ...]:
    """For TABULATED: n + 1 ascending knots, the guide to the n upper ends, four coefficients an interval."""
    return (*knots, *guide(knots[1:]), *coefficients)


def guide(upper: Sequence[float]) -> list[float]:
    """For each j, the first of the ascending upper ends that a uniform from j / n on can be below."""
    n = len(upper)
    return [float(bisect_left(upper, j / n * ROUNDING)) for j in range(n)]
