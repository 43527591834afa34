"""Families that NumPyro lacks, as NumPyro distributions: `FAMILIES` by name."""

from typing import Any

from livenuts.families.continuous import (
    ExGaussian,
    GeneralizedPareto,
    InverseGaussian,
    LogitNormal,
    SkewNormal,
    Triangular,
)
from livenuts.families.custom import Custom
from livenuts.families.partial import Censored, Truncated
from livenuts.families.series import AR, GARCH, LinearGaussian
from livenuts.families.skellam import Skellam
from livenuts.families.spatial import ICAR

FAMILIES: dict[str, Any] = {
    family.__name__: family
    for family in (
        AR,
        Censored,
        Custom,
        ExGaussian,
        GARCH,
        GeneralizedPareto,
        ICAR,
        InverseGaussian,
        LinearGaussian,
        LogitNormal,
        Skellam,
        SkewNormal,
        Triangular,
        Truncated,
    )
}

__all__ = ["FAMILIES"]
