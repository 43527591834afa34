"""The conjugate model and its charts: closed forms, published examples, and the rate of false alarms."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from liverecipes.spc.chart import Limits, cusum, frame, known_variance_chart, limits, score
from liverecipes.spc.conjugate import FloatArray, NormalInverseGamma, learned, segment_prior
from liverecipes.spc.data import load
from scipy import integrate, stats

PRIOR = NormalInverseGamma(1.0, 0.5, 3.0, 2.0)
numbers = st.lists(st.floats(-50, 50), min_size=1, max_size=30)


def test_known_variance_chart_of_the_nile() -> None:
    nile = load("nile")
    points = list(known_variance_chart(nile.values, mu0=1100, tau2=50_000, sigma2=18_924.69, k=2.5))
    alarms = [nile.labels[t] for t, point in enumerate(points) if point.alarm]
    assert alarms == ["1902", "1905", "1913"]
    assert points[-1].mu == pytest.approx(920.03, abs=0.005)
    assert math.sqrt(points[-1].tau2) == pytest.approx(13.73, abs=0.005)
    assert all(
        point.alarm == (not point.limits.lower <= x <= point.limits.upper)
        for point, x in zip(points, nile.values, strict=True)
    )


def test_known_variance_is_the_nile_variance_of_its_first_27_years() -> None:
    first = load("nile").values[:27]
    assert float(first.mean()) == pytest.approx(1097.67, abs=0.005)
    assert float(first.var(ddof=1)) == pytest.approx(18_924.69, abs=0.005)


def test_nist_cusum() -> None:
    points = list(cusum(load("nist-cusum").values, target=325, k=0.3175, h=4.1959))
    assert [round(point.high, 2) for point in points[12:]] == [3.01, 4.94, 7.45, 10.63, 11.99, 14.44, 16.00, 19.04]
    assert [t for t, point in enumerate(points, 1) if point.alarm] == list(range(14, 21))


def test_cusum_watches_downward_too() -> None:
    assert [point.low for point in cusum(np.array([-1.0, -1.0, 5.0]), target=0, k=0.25, h=1.0)] == [0.75, 1.5, 0.0]


def batch(values: list[float]) -> tuple[int, float, float]:
    """Return count, mean and sum of squared deviations."""
    x = np.array(values)
    return len(x), float(x.mean()), float(np.sum((x - x.mean()) ** 2))


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # it may be the machine that is slow
@given(numbers)
def test_one_at_a_time_equals_the_batch(values: list[float]) -> None:
    one_by_one = PRIOR
    for x in values:
        one_by_one = one_by_one.update(x)
    together = PRIOR.update_batch(*batch(values))
    assert [float(each) for each in one_by_one] == pytest.approx([float(each) for each in together], rel=1e-9, abs=1e-9)


@given(numbers)
def test_predictive_densities_multiply_to_the_evidence(values: list[float]) -> None:
    belief, total = PRIOR, 0.0
    for x in values:
        total += float(belief.log_predictive(x))
        belief = belief.update(x)
    assert total == pytest.approx(float(PRIOR.log_evidence(*batch(values))), rel=1e-9, abs=1e-9)


def test_evidence_is_the_integral_over_level_and_variance() -> None:
    x = [0.3, 1.9]

    def integrand(log_variance: float, level: float) -> float:
        variance = math.exp(log_variance)
        density = stats.invgamma.pdf(variance, PRIOR.a, scale=PRIOR.b) * variance
        density *= stats.norm.pdf(level, PRIOR.m, math.sqrt(variance / float(PRIOR.kappa)))
        return float(density * np.prod(stats.norm.pdf(x, level, math.sqrt(variance))))

    integral, _ = integrate.dblquad(integrand, -14, 14, lambda _: -6, lambda _: 8, epsabs=1e-7, epsrel=1e-6)
    evidence = PRIOR.log_evidence(*batch(x))
    assert math.log(integral) == pytest.approx(float(evidence), abs=1e-4)


@given(st.floats(-1e3, 1e3), st.floats(0.5, 6))
def test_a_point_is_outside_the_limits_exactly_when_its_score_is(x: float, k: float) -> None:
    bounds = limits(PRIOR, k)
    if abs(abs(score(PRIOR, x)) - k) > 1e-9:
        assert (abs(score(PRIOR, x)) > k) == (not bounds.lower <= x <= bounds.upper)


def plug_in_limits(belief: NormalInverseGamma, k: float) -> Limits:
    """The poison: the estimated sigma, as if it were known."""
    _, location, scale = (float(value) for value in belief.predictive())
    return Limits(location, location - k * scale, location + k * scale)


def alarm_rate_is_off(make: object, start: str) -> float:
    """Return how many standard errors the false-alarm rate is off its nominal value."""
    rng = np.random.default_rng(20)
    k, alarms, trials = 2.0, 0, 4000
    for _ in range(trials):
        if start == "prior":
            variance = float(PRIOR.b) / rng.gamma(float(PRIOR.a))
            x: FloatArray = rng.normal(
                rng.normal(float(PRIOR.m), math.sqrt(variance / float(PRIOR.kappa))), math.sqrt(variance), 3
            )
            belief = PRIOR.update(float(x[0])).update(float(x[1]))
        else:  # a level and a variance that no prior announced
            x = rng.normal(1000, 0.003, 6)
            belief = learned(x[:5])
        bounds = make(belief, k)  # type: ignore[operator]
        alarms += not bounds.lower <= x[-1] <= bounds.upper
    nominal = 2 * stats.norm.sf(k)
    return float((alarms / trials - nominal) / math.sqrt(nominal * (1 - nominal) / trials))


@pytest.mark.parametrize("start", ["prior", "phase one"])
def test_false_alarms_come_at_the_nominal_rate(start: str) -> None:
    """Each of the two checks fails by chance once in 15,000 seeds (4 standard errors)."""
    assert abs(alarm_rate_is_off(limits, start)) < 4
    assert alarm_rate_is_off(plug_in_limits, start) > 4


def test_equal_points_teach_finite_limits() -> None:
    belief = learned(np.full(10, 5.0))
    bounds = limits(belief, 3.0)
    assert bounds.lower < 5 < bounds.upper
    assert bounds.upper - bounds.lower < 1e-6
    assert np.isfinite(score(belief, 1e100))
    assert np.isfinite(score(learned(np.zeros(10)), 1e100))


def test_one_point_makes_a_proper_prior() -> None:
    assert segment_prior(np.array([5.0])) == (5.0, 0.01, 1.0, 25.0)
    assert segment_prior(np.array([0.0])) == (0.0, 0.01, 1.0, 1.0)


def test_the_frame_holds_the_limits_and_is_not_ruled_by_them() -> None:
    low, high = frame([-1.0, 1.0], [None, *[-3.0] * 20], [None, *[3.5] * 20], 0.1)
    assert (low, high) == pytest.approx((-3.65, 4.15))
    assert frame([-1.0, 1.0], [-1e9, *[-3.0] * 20], [1e9, *[3.5] * 20], 0.1) == (low, high)
    assert frame([-1.0, 1.0], [-1e9] * 9, [1e9] * 9, 0.1) == pytest.approx((-4.8, 4.8))
    assert frame([], [], [], 0.1) == (-1.0, 1.0)
