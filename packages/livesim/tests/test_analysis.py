"""Output analysis: coverage on processes whose truth is known, exact cases, and errors at the door.

Coverage tests run many experiments with fixed seeds. The number that cover is binomial, so the share is within
5 standard deviations of its expectation with false-alarm rate 6e-7; each test says what it expects, and its poison,
a method that is known to be wrong there, must fall outside of the same bounds.
"""

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from livesim import analysis as a
from scipy import integrate, special, stats


def outside(covered: list[bool] | np.ndarray, expected: float, slack: float = 0.0) -> bool:
    """Whether a share of covering experiments is not what is expected, give or take `slack` and 5 sd."""
    share = float(np.mean(covered))
    return abs(share - expected) > slack + 5.0 * math.sqrt(expected * (1.0 - expected) / len(covered))


def ar1(rng: np.random.Generator, experiments: int, n: int, phi: float, start: float | None = None) -> np.ndarray:
    """Autoregressions of mean 0 and variance 1, shape (experiment, time), in steady state or from a start."""
    x = np.empty((n, experiments))
    state = rng.standard_normal(experiments) if start is None else np.full(experiments, start)
    noise = math.sqrt(1.0 - phi * phi) * rng.standard_normal((n, experiments))
    for t in range(n):
        state = phi * state + noise[t]
        x[t] = state
    return np.ascontiguousarray(x.T)


def mm1_waits(
    rng: np.random.Generator, experiments: int, n: int, load: float, waiting: float | None = None
) -> np.ndarray:
    """Waiting times in queue of M/M/1 with service rate 1, (experiment, customer), stationary or from a start."""
    if waiting is None:
        idle = rng.uniform(size=experiments) >= load
        state = np.where(idle, 0.0, rng.exponential(1.0 / (1.0 - load), experiments))
    else:
        state = np.full(experiments, waiting)
    x = np.empty((n, experiments))
    for t in range(n):
        x[t] = state
        state = np.maximum(state + rng.exponential(1.0, experiments) - rng.exponential(1.0 / load, experiments), 0.0)
    return np.ascontiguousarray(x.T)


# Means over replications


def test_student_interval_covers_exactly() -> None:
    """Normal values, n = 5: coverage is 0.95; poison: the normal quantile, whose coverage is 0.88."""
    values = np.random.default_rng(1).normal(3.0, 2.0, (10_000, 5))
    intervals = [a.mean_interval(row) for row in values]
    assert not outside([3.0 in interval for interval in intervals], 0.95)
    narrow = [abs(i.estimate - 3.0) <= i.half_width * 1.959964 / a.student_quantile(0.975, 4) for i in intervals]
    assert outside(narrow, 0.95)


@pytest.mark.parametrize("freedom", [1, 2, 3, 5, 7.5, 29, 1000])
def test_student_quantiles(freedom: float) -> None:
    """Closed forms for 1 and 2 degrees of freedom, SciPy's for the rest (D13: sim_ex gave 7.15 for 12.71)."""
    for p in (0.6, 0.9, 0.975, 0.9999):
        found = a.student_quantile(p, freedom)
        assert math.isclose(found, stats.t.ppf(p, freedom), rel_tol=1e-9)
        if freedom == 1:
            assert math.isclose(found, math.tan(math.pi * (p - 0.5)), rel_tol=1e-9)
        if freedom == 2:
            assert math.isclose(found, (2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p))), rel_tol=1e-9)


def test_interval_says_what_it_is() -> None:
    interval = a.mean_interval([9.0, 10.0, 11.0], 0.9)
    assert interval.estimate == 10.0
    assert math.isclose(interval.half_width, a.student_quantile(0.95, 2) / math.sqrt(3))
    assert math.isclose(interval.relative_half_width, interval.half_width / 10.0)
    assert 10.0 in interval
    assert 12.0 not in interval
    assert str(interval) == "10 [8.314, 11.69] (90 %, n=3)"
    assert a.mean_interval([-1.0, 1.0]).relative_half_width == math.inf


def test_time_average_is_the_area() -> None:
    assert a.time_average([2.0], [7.0], end=5.0) == 7.0
    assert a.time_average([0, 1, 1, 3], [2, 50, 0, 4], end=4) == 1.5  # no time passes at 50
    rng = np.random.default_rng(0)
    times, levels = np.sort(rng.uniform(0, 10, 50)), rng.integers(0, 9, 50)
    fine = np.linspace(times[0], 10, 2_000_001)
    at = levels[np.searchsorted(times, fine, side="right") - 1]
    assert abs(a.time_average(times, levels, 10.0) - at.mean()) < 1e-4


# Warm-up


def mser_by_definition(values: np.ndarray, size: int) -> int:
    means = [values[i : i + size].mean() for i in range(0, len(values) - size + 1, size)]
    cuts = range(len(means) // 2 + 1)
    return size * min(cuts, key=lambda d: np.sum((means[d:] - np.mean(means[d:])) ** 2) / (len(means) - d) ** 2)


def test_mser_is_its_definition() -> None:
    """On random series, with and without a transient, of lengths that do and do not fill the last batch."""
    rng = np.random.default_rng(4)
    for n in (10, 57, 400, 1003):
        for transient in (0.0, 5.0, 1e6):
            values = ar1(rng, 1, n, 0.7)[0] + transient * np.exp(-np.arange(n) / 20) + 1e4
            found = a.mser5(values)
            assert found.delete == mser_by_definition(values, 5)
            assert found.reliable == (found.delete // 5 < (n // 5) // 2)


def test_mser_deletes_what_biases_the_mean() -> None:
    """M/M/1 at load 0.8 that starts with a wait of 60 (the mean is 4), ten replications an experiment.

    With one cut for the replications the rest's mean is within 5 sd of the truth; poisons: no deletion, and half of it.
    A cut a run takes away most of the bias, and leaves its own few percent.
    """
    waits = mm1_waits(np.random.default_rng(5), 400, 4000, 0.8, waiting=60.0).reshape(40, 10, 4000)

    def biased(means: np.ndarray) -> bool:
        return abs(means.mean() - 4.0) > 5.0 * means.std() / math.sqrt(means.size)

    cuts = [a.mser5(group) for group in waits]
    assert all(cut.reliable for cut in cuts)

    def rest(share: float) -> np.ndarray:
        return np.array([group[:, int(share * cut.delete) :].mean() for group, cut in zip(waits, cuts, strict=True)])

    assert not biased(rest(1.0))
    assert biased(rest(0.5))
    assert biased(rest(0.0))
    runs = waits.reshape(400, 4000)
    alone = np.array([run[a.mser5(run).delete :].mean() for run in runs])
    assert abs(alone.mean() - 4.0) < 0.5 * abs(runs.mean() - 4.0)


def test_mser_says_when_a_run_is_too_short() -> None:
    """A ramp has no steady state: the best cut is the last that is looked at (D13: sim_ex found one at 5 %)."""
    assert a.mser5(np.arange(1000.0)) == (500, False)
    assert a.mser5(np.ones(100)).delete == 0


def test_welch_is_its_definition() -> None:
    values = np.random.default_rng(0).normal(size=(6, 40)) + 1e3
    window = 7
    mean = values.mean(axis=0)
    expected = [mean[i - r : i + r + 1].mean() for i in range(40 - window) for r in [min(i, window)]]
    np.testing.assert_allclose(a.welch(values, window), expected, rtol=1e-12)
    np.testing.assert_allclose(a.welch(values, 0), mean, rtol=1e-12)


# One long run


RUNS: dict[str, tuple[Callable[[], np.ndarray], float]] = {
    "AR(1), 0.8": (lambda: ar1(np.random.default_rng(6), 1000, 4000, 0.8), 0.0),
    "M/M/1, load 0.5": (lambda: mm1_waits(np.random.default_rng(7), 600, 20_000, 0.5), 1.0),
}


@pytest.mark.parametrize("name", list(RUNS))
def test_batch_means_cover(name: str) -> None:
    """Coverage 0.95, give or take 0.01 for batches that are not quite normal; so for overlapping ones.

    Poison: the interval as if the values were independent (D13), whose coverage is below 0.6.
    """
    run, truth = RUNS[name]
    values = run()
    found = [a.batch_means(row) for row in values]
    assert not outside([truth in one.interval for one in found], 0.95, 0.01)
    assert not outside([one.p_value > 0.05 for one in found], 0.95, 0.02)
    assert not outside([truth in a.overlapping_batch_means(row) for row in values], 0.95, 0.015)
    naive = [truth in a.mean_interval(row) for row in values]
    assert np.mean(naive) < 0.6
    assert outside(naive, 0.95, 0.015)


def test_lag_one_check_catches_batches_that_are_too_small() -> None:
    """Batches of 5 of an AR(1) with 0.9 are nearly always refused; independent values 5 % of the time."""
    rng = np.random.default_rng(8)
    dependent = [a.batch_means(row).p_value < 0.05 for row in ar1(rng, 300, 100, 0.9)]
    assert np.mean(dependent) > 0.8
    independent = [a.lag_one_test(row)[1] < 0.05 for row in rng.normal(size=(20_000, 20))]
    assert not outside(independent, 0.05, 0.004)
    assert a.lag_one_test(np.ones(10)) == (0.0, 1.0)
    x = rng.normal(size=50)
    d = x - x.mean()
    assert math.isclose(a.lag_one_test(x)[0], float(d[1:] @ d[:-1] / (d @ d)), rel_tol=1e-9)


def test_batch_means_by_hand() -> None:
    """Nine values, four batches of two, the first value left out."""
    found = a.batch_means([100, 1, 3, 2, 6, 5, 5, 0, 4], batches=4)
    assert found.batch_size == 2
    assert found.interval == a.mean_interval([2, 4, 5, 2])


def test_overlapping_batch_means_are_their_definition() -> None:
    x = np.random.default_rng(1).normal(size=60)
    n, m = 60, 7
    means = np.array([x[j : j + m].mean() for j in range(n - m + 1)])
    variance = n * m / ((n - m + 1) * (n - m)) * ((means - x.mean()) ** 2).sum()
    found = a.overlapping_batch_means(x, 0.9, batch_size=m)
    expected = stats.t.ppf(0.95, 1.5 * (n / m - 1)) * math.sqrt(variance / n)
    assert math.isclose(found.half_width, expected, rel_tol=1e-9)


# Precision


def test_replications_needed_is_the_least_that_does() -> None:
    pilot = np.random.default_rng(2).normal(50.0, 10.0, 10)
    n = a.replications_needed(pilot, absolute=1.0)
    spread = pilot.std(ddof=1)

    def width(count: int) -> float:
        return stats.t.ppf(0.975, count - 1) * spread / math.sqrt(count)

    assert width(n) <= 1.0 < width(n - 1)
    m = a.replications_needed(pilot, relative=0.02)
    target = 0.02 / 1.02 * pilot.mean()
    assert width(m) <= target < width(m - 1)
    assert a.replications_needed(pilot, absolute=1e9) == 10
    assert a.replications_needed([4.0, 4.0], relative=0.01) == 2


def test_replicate_until_stops_at_the_precision_and_covers() -> None:
    """Relative half-width 0.1 on gamma values; stopping by the width may cost 0.03 of coverage (Law 2015)."""
    rng = np.random.default_rng(3)
    found = [a.replicate_until(lambda r: rng.gamma(4.0), relative=0.1) for _ in range(400)]
    assert all(one.reached and one.interval.relative_half_width <= 0.1 / 1.1 for one in found)
    assert not outside([4.0 in one.interval for one in found], 0.95, 0.03)
    for one in found[:50]:  # and not before
        before = [a.mean_interval(one.values[:n]) for n in range(10, len(one.values))]
        assert all(interval.relative_half_width > 0.1 / 1.1 for interval in before)
    short = a.replicate_until(lambda r: rng.normal(), absolute=0.01, most=15)
    assert (len(short.values), short.reached) == (15, False)


# Comparison


def mean_transient_wait(service: float, gap: float, n: int) -> float:
    """The mean wait of the first n customers of M/M/1 that starts empty, by Spitzer's identity.

    E[W_m] is the sum over k <= m of E[max(X - Y, 0)] / k for Erlangs X and Y of k stages, and E[max(X - Y, 0)] is the
    integral of P(X > t) P(Y <= t).
    """
    waits, wait = [0.0], 0.0
    for k in range(1, n):
        t = np.linspace(0.0, service * (k + 12.0 * math.sqrt(k) + 40.0), 4001)  # X is hardly ever larger
        wait += float(integrate.simpson(special.gammaincc(k, t / service) * special.gammainc(k, t / gap), x=t)) / k
        waits.append(wait)
    return float(np.mean(waits))


def test_paired_comparison_uses_common_random_numbers() -> None:
    """Two M/M/1 queues on the same uniforms: covers, three times as narrow; poison: pairs out of step lose the gain."""
    rng = np.random.default_rng(9)
    covered, widths, apart = [], [], []
    truth = mean_transient_wait(1.0, 2.0, 200) - mean_transient_wait(0.9, 2.0, 200)
    for _ in range(400):
        u = rng.uniform(size=(2, 30, 200))
        slow, fast = (np.zeros(30), np.zeros(30)), (np.zeros(30), np.zeros(30))
        means = []
        for scale, (state, total) in ((1.0, slow), (0.9, fast)):
            for t in range(200):
                total += state
                state = np.maximum(state - scale * np.log(u[0, :, t]) + 2.0 * np.log(u[1, :, t]), 0.0)
            means.append(total / 200)
        interval = a.compare_paired(*means)
        covered.append(truth in interval)
        widths.append(interval.half_width)
        apart.append(a.compare_paired(means[0], np.roll(means[1], 1)).half_width)
    assert not outside(covered, 0.95, 0.02)
    assert np.mean(widths) < 0.35 * np.mean(apart)


def test_bonferroni_holds_for_all_at_once() -> None:
    """Five independent normal systems: joint coverage (1 - 0.01)^5; poison: 0.95 each, whose joint coverage is 0.77."""
    values = np.random.default_rng(10).normal(size=(3000, 5, 8)) + np.arange(5.0)[:, None]
    joint = [all(i in one for i, one in enumerate(a.simultaneous(row))) for row in values]
    assert not outside(joint, 0.99**5)
    alone = [all(i in a.mean_interval(x) for i, x in enumerate(row)) for row in values]
    assert outside(alone, 0.99**5)
    against = [all(j - 2 in one for j, one in a.against_standard(row, 2).items()) for row in values]
    pairs = [all(i - j in one for (i, j), one in a.all_pairs(row).items()) for row in values[:1000]]
    for share in (np.mean(against), np.mean(pairs)):
        assert share > 0.95 - 5 * math.sqrt(0.95 * 0.05 / 1000)
    assert list(a.against_standard(values[0], 2)) == [0, 1, 3, 4]
    assert len(a.all_pairs(values[0])) == 10


# Selection


def test_kim_nelson_selects_the_best() -> None:
    """The hardest case, all others just `indifference` worse: right with at least 0.95 (less 5 sd), under common
    random numbers too, and with fewer replications there. Poison: the best mean of the first stage."""
    rng = np.random.default_rng(11)
    experiments = 400
    right, together, first_stage, cost, shared_cost = [], [], [], [], []
    for _ in range(experiments):
        values = rng.normal(size=(5, 3000)) + np.array([0.0, 0.0, 0.5, 0.0, 0.0])[:, None]
        common = math.sqrt(0.8) * rng.normal(size=3000)
        shared = math.sqrt(0.2) * (values - values.mean(axis=1, keepdims=True)) + common
        shared += np.array([0.0, 0.0, -0.5, 0.0, 0.0])[:, None]
        alone = a.kim_nelson(lambda i, r, v=values: v[i, r], 5, 0.5)
        crn = a.kim_nelson(lambda i, r, v=shared: v[i, r], 5, 0.5, largest=False)
        right.append(alone.best == 2)
        together.append(crn.best == 2)
        first_stage.append(np.argmax(values[:, :20].mean(axis=1)) == 2)
        cost.append(alone.replications.sum())
        shared_cost.append(crn.replications.sum())
    bound = 0.95 - 5.0 * math.sqrt(0.95 * 0.05 / experiments)
    assert np.mean(right) >= bound
    assert np.mean(together) >= bound
    assert np.mean(first_stage) < bound
    assert np.mean(shared_cost) < 0.8 * np.mean(cost)


def test_kim_nelson_by_hand() -> None:
    """Constant systems: no variance, so the first stage decides; means and counts are as sampled."""
    found = a.kim_nelson(lambda i, r: [1.0, 3.0, 2.0][i], 3, 0.1, first=5)
    assert found.best == 1
    assert found.means.tolist() == [1.0, 3.0, 2.0]
    assert found.replications.tolist() == [5, 5, 5]
    assert a.kim_nelson(lambda i, r: [1.0, 3.0, 2.0][i], 3, 0.1, first=5, largest=False).best == 0


def test_rinott_selects_the_best() -> None:
    """Unequal variances, the others just `indifference` worse: at least 0.95 (less 5 sd); poison: a quarter of it."""
    rng = np.random.default_rng(12)
    sd = np.array([1.0, 2.0, 1.5, 0.5])
    mean = np.array([0.0, 0.5, 0.0, 0.0])
    experiments = 400
    right, short = [], []
    for _ in range(experiments):
        values = mean[:, None] + sd[:, None] * rng.normal(size=(4, 2000))
        found = a.rinott(lambda i, r, v=values: v[i, r], 4, 0.5)
        right.append(found.best == 1)
        assert found.replications.tolist() == a.rinott_sizes(values[:, :20], 0.5).tolist()
        assert math.isclose(found.means[1], values[1, : found.replications[1]].mean(), rel_tol=1e-9)
        fewer = [values[i, : n // 4].mean() for i, n in enumerate(found.replications)]
        short.append(np.argmax(fewer) == 1)
    bound = 0.95 - 5.0 * math.sqrt(0.95 * 0.05 / experiments)
    assert np.mean(right) >= bound
    assert np.mean(short) < bound


def test_rinott_constant_solves_its_equation() -> None:
    """Two systems: P(T1 <= T2 + h) for two t variables, by another integral; more systems: by simulation."""
    for first, confidence in ((5, 0.9), (20, 0.95), (50, 0.99)):
        h = a.rinott_constant(2, first, confidence)
        law = stats.t(first - 1)
        found, _ = integrate.quad(lambda x, law=law, h=h: law.cdf(x + h) * law.pdf(x), -np.inf, np.inf, epsabs=1e-12)
        assert abs(found - confidence) < 1e-8
    rng = np.random.default_rng(0)
    h = a.rinott_constant(8, 15, 0.95)
    y = rng.chisquare(14, 4000)
    x = rng.chisquare(14, (4000, 1000))
    inner = special.ndtr(h / np.sqrt(14 * (1 / x + 1 / y[:, None]))).mean(axis=1) ** 7
    assert abs(inner.mean() - 0.95) < 5.0 * inner.std() / math.sqrt(4000) + 1e-3


# Quantiles


@pytest.mark.parametrize(("n", "q", "confidence"), [(50, 0.5, 0.95), (200, 0.9, 0.9), (59, 0.05, 0.8)])
def test_quantile_interval_covers_as_the_binomial_says(n: int, q: float, confidence: float) -> None:
    """Its exact coverage, from the ranks, is at least nominal, and the experiments agree; poison: one rank narrower."""
    values = np.sort(np.random.default_rng(13).exponential(size=(4000, n)), axis=1)
    truth = -math.log1p(-q)
    found = [a.quantile_interval(row, q, confidence) for row in values]
    low, high = (int(np.searchsorted(values[0], x)) + 1 for x in (found[0].low, found[0].high))
    exact = stats.binom.cdf(high - 1, n, q) - stats.binom.cdf(low - 1, n, q)
    assert exact >= confidence
    side = 0.5 * (1.0 - confidence)
    assert stats.binom.cdf(low, n, q) > side  # the next rank would miss too often
    assert stats.binom.sf(high - 2, n, q) > side
    assert not outside([truth in one for one in found], exact)
    narrower = [row[low] <= truth <= row[high - 2] for row in values]
    assert outside(narrower, exact)


def test_batched_quantiles_cover() -> None:
    """The 0.9 quantile of waits in M/M/1 at load 0.5, log 5 / 0.5: coverage 0.95 give or take 0.015.

    Poison: order statistics, as if waits were independent."""
    values = mm1_waits(np.random.default_rng(14), 500, 20_000, 0.5)
    truth = 2.0 * math.log(5.0)
    assert not outside([truth in a.batched_quantile_interval(row, 0.9) for row in values], 0.95, 0.015)
    assert np.mean([truth in a.quantile_interval(row, 0.9) for row in values]) < 0.7


# Control variates


def test_control_variates_cover_and_narrow() -> None:
    """Jointly normal with correlation 0.9: coverage 0.95; the variance left is 0.19; poison: wrong known means."""
    rng = np.random.default_rng(15)
    covered, wrong, ratios, widths = [], [], [], []
    for _ in range(2000):
        x = rng.normal(size=(2, 12))
        y = 5.0 + 0.9 * x[0] + math.sqrt(0.19) * rng.normal(size=12)
        found = a.control_variates(y, x[:1] + 3.0, [3.0])
        covered.append(5.0 in found.interval)
        wrong.append(5.0 in a.control_variates(y, x[:1] + 3.0, [3.3]).interval)
        widths.append(found.interval.half_width / a.mean_interval(y).half_width)
        ratios.append(a.control_variates(y, x, [0.0, 0.0]).variance_ratio)
    assert not outside(covered, 0.95)
    assert outside(wrong, 0.95)
    assert np.mean(widths) < 0.6
    assert 0.15 < np.mean(ratios) < 0.25


# Errors


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: a.mean_interval([1.0]), "values must hold 2 numbers or more, got 1"),
        (lambda: a.mean_interval([1.0, math.nan]), "values[1] must be finite, got nan"),
        (lambda: a.mean_interval([[1.0, 2.0]]), "values must have one dimension, got shape (1, 2)"),
        (lambda: a.mean_interval([1.0, 2.0], 95), "confidence must be between 0 and 1, such as 0.95, got 95"),
        (lambda: a.student_quantile(1.0, 3), "probability must be between 0 and 1, got 1.0"),
        (lambda: a.student_quantile(0.9, 0), "freedom must be above 0, got 0"),
        (lambda: a.time_average([0, 2, 1], [1, 1, 1], 3), "times must not fall, got times[1]=2.0, times[2]=1.0"),
        (lambda: a.time_average([0, 2], [1, 1], 1), "end must be after the first time and not before the last"),
        (lambda: a.time_average([0, 2], [1], 3), "levels must be as many as the times, 2, got 1"),
        (lambda: a.mser5([1.0] * 9), "values must hold 10 numbers or more, got 9"),
        (lambda: a.mser5([[1.0] * 9] * 3), "values must have shape (replications >= 2, times >= 10), got (3, 9)"),
        (lambda: a.mser5([1.0] * 9, 0), "batch_size must be 1 or more, got 0"),
        (lambda: a.welch([[1.0] * 9] * 2, 3), "window must be from 0 to a quarter of the 9 times, got 3"),
        (lambda: a.welch([1.0] * 9, 3), "values must have shape (replications >= 2, times >= 2), got (9,)"),
        (lambda: a.batch_means([1.0] * 39), "values must hold 40 numbers or more, got 39"),
        (lambda: a.batch_means([1.0] * 39, batches=3), "batches must be 4 or more, got 3"),
        (lambda: a.overlapping_batch_means([1.0] * 50, batch_size=26), "batch_size must be from 1 to half of the 50"),
        (lambda: a.replications_needed([1, 2], absolute=0), "absolute must be above 0, got 0"),
        (lambda: a.replications_needed([1, 2], relative=5), "relative must be between 0 and 1, such as 0.05, got 5"),
        (lambda: a.replications_needed([-1, 1], relative=0.1), "the pilot's mean is 0"),
        (lambda: a.replications_needed([1, 2], absolute=1e-9), "more than 10000000 replications"),
        (lambda: a.replicate_until(lambda r: 0.0, absolute=1, least=1), "least must be from 2 to most"),
        (lambda: a.compare_paired([1, 2], [1, 2, 3]), "second must have as many replications as first, 2, got 3"),
        (lambda: a.all_pairs([[1.0, math.inf], [1, 2]]), "values[0, 1] must be finite, got inf"),
        (lambda: a.against_standard([[1, 2], [1, 2]], 2), "standard must be a system's number, from 0 to 1, got 2"),
        (lambda: a.kim_nelson(lambda i, r: 0.0, 1, 0.1), "systems must be 2 or more, got 1"),
        (lambda: a.kim_nelson(lambda i, r: 0.0, 2, 0), "indifference must be above 0 and finite, got 0"),
        (lambda: a.kim_nelson(lambda i, r: math.nan, 2, 1), "outputs[0, 0] must be finite, got nan"),
        (lambda: a.rinott_constant(4, 20, 0.2), "confidence must be above 1 / 4, what guessing gives, got 0.2"),
        (lambda: a.rinott_constant(4, 2), "first must be 3 or more, got 2"),
        (lambda: a.quantile_interval([1.0] * 20, 0.99), "values must be 368 or more for the quantile 0.99"),
        (lambda: a.quantile_interval([1.0] * 20, 1), "q must be between 0 and 1, such as 0.9, got 1"),
        (lambda: a.batched_quantile_interval([1.0] * 20, 0.5), "values must hold 200 numbers or more, got 20"),
        (lambda: a.control_variates([1, 2, 3, 4], [[1, 2, 3]], [2]), "controls must have shape (means, replications)"),
        (lambda: a.control_variates([1, 2, 3, 4], [[1, 1, 1, 1]], [1]), "controls must vary"),
        (lambda: a.control_variates([1, 2, 3, 4], [[1, 2, 1, 1]] * 2, [1, 1]), "values must be 5 or more"),
    ],
)
def test_errors_name_the_thing_its_value_and_what_would_be_right(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        call()


def test_precision_wants_one_kind_of_width() -> None:
    with pytest.raises(TypeError, match="give absolute or relative, got absolute=1"):
        a.replications_needed([1, 2], absolute=1, relative=0.1)


def test_kim_nelson_gives_up_where_it_was_told_to() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(RuntimeError, match="2 systems are still in the race after 30 replications"):
        a.kim_nelson(lambda i, r: rng.normal(), 2, 0.01, most=30)
