"""exp and log of vectorised loops: within a unit in the last place, equal in plain Python, IEEE at the ends."""

import decimal
import math
from collections.abc import Callable

import numpy as np
import pytest
from livesmc2 import StateSpaceModel, particle_filter
from livesmc2.kernel import elementary
from numba import njit


def compiled(function: Callable[[float], float], x: np.ndarray) -> np.ndarray:
    def loop(x, out):  # type: ignore[no-untyped-def]
        for i in range(len(x)):
            out[i] = function(x[i])

    out = np.empty(len(x))
    njit("void(f8[::1], f8[::1])", error_model="numpy")(loop)(x, out)
    return out


def points(name: str) -> np.ndarray:
    rng = np.random.default_rng(1)
    if name == "exp":
        return np.concatenate([rng.uniform(-708, 709.7, 800), rng.normal(size=800), 10.0 ** rng.uniform(-18, 0, 200)])
    near_one = [rng.uniform(0.7, 1.42, 800), 1.0 + rng.normal(size=400) * 10.0 ** rng.uniform(-15, -1, 400)]
    return np.concatenate([np.exp(rng.uniform(-740, 709, 600)), *near_one])


@pytest.mark.parametrize("name", ["exp", "log"])
def test_within_a_unit_in_the_last_place(name: str) -> None:
    """Against 40 digits; a log 2 without its low part is caught."""
    x = points(name)
    with decimal.localcontext(prec=40):
        exact = [decimal.Decimal(value).exp() if name == "exp" else decimal.Decimal(value).ln() for value in x.tolist()]

        def units(found: np.ndarray) -> float:
            spacing = [float(np.spacing(abs(float(value)))) for value in exact]
            errors = [float(decimal.Decimal(f) - value) for f, value in zip(found.tolist(), exact, strict=True)]
            return max(abs(e / s) for e, s in zip(errors, spacing, strict=True))

        found = compiled(getattr(elementary, name), x)
        assert units(found) < 1.0
        whole = np.round(x * 1.4426950408889634) if name == "exp" else np.floor(np.log2(x))
        low = 1.90821492927058770002e-10 * whole
        assert units(found * (1.0 + low) if name == "exp" else found + low) > 100.0


@pytest.mark.parametrize("name", ["exp", "log"])
def test_plain_python_gives_the_same_bits(name: str) -> None:
    ends = [0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 5e-324, 1e-310, 1.7e308, -1e308, 709.78, 709.79]
    x = np.concatenate([points(name), ends, [-708.4, -720.0, -745.1, -745.2, -746.0]])
    function = getattr(elementary, name)
    found = compiled(function, x)
    assert np.array_equal(found, [function(value) for value in x.tolist()], equal_nan=True)
    with np.errstate(all="ignore"):
        theirs = getattr(np, name)(x)
    assert np.array_equal(np.isnan(found), np.isnan(theirs))
    np.testing.assert_allclose(found, theirs, rtol=4e-16, atol=5e-324)


def test_densities_in_plain_python_are_the_compiled_ones() -> None:
    model = StateSpaceModel(
        parameters=("s",),
        state=("x",),
        initial=lambda rng, theta: (rng.normal(),),
        transition=lambda rng, x, theta, t: (rng.normal(x.x, theta.s),),
        log_likelihood=lambda y, x, theta, t: y * x.x - math.exp(x.x) - math.lgamma(y + 1.0),
    )
    result = particle_filter(model, {"s": 0.3}, [1.0, 0.0, 3.0], n_x=40, seed=1)
    plain = particle_filter(model, {"s": 0.3}, [1.0, 0.0, 3.0], n_x=40, seed=1, compiled=False)
    np.testing.assert_allclose(result.increments, plain.increments, rtol=0, atol=1e-12)


def test_math_of_compiled_functions_is_pythons() -> None:
    for stand_in in (elementary.PURE_MATH, elementary.VECTOR_MATH):
        assert {name for name in vars(math) if not name.startswith("_")} <= set(vars(stand_in))
        for name in ("lgamma", "log1p", "expm1", "erf", "erfc", "tanh", "atan", "exp", "log", "sqrt", "sin"):
            x = np.array([0.1, 0.7, 2.5])
            found = compiled(getattr(stand_in, name), x)
            np.testing.assert_allclose(found, [getattr(math, name)(value) for value in x], rtol=4e-15)
