"""Filters grow by exchange: their law, the evidence and the posterior stay, whatever resamples and with a guide."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from livesmc2 import OnlineSMC2, StateSpaceModel, log_likelihoods, run
from livesmc2.compiler.program import program_of
from livesmc2.kernel import conditional, weights
from livesmc2.runtime import exchange as exchanges
from livesmc2.runtime.blocks import Crew, Filters, Series, advance, make_rule
from livesmc2.runtime.cloud import Anchor, Cloud, References
from livesmc2_exact import level, level_kalman, level_posterior, level_series, mean_and_error

MODEL, PRIOR = level()
THETA = {"sigma_level": 0.3, "sigma_y": 0.7}


def guided() -> StateSpaceModel:
    """The local level with its optimal proposal."""

    def guide(rng: Any, x: Any, y: float, theta: Any, t: Any) -> Any:
        q, h = theta.sigma_level, theta.sigma_y
        gain = q * q / (q * q + h * h)
        mean, sd = x.level + gain * (y - x.level), math.sqrt(gain) * h
        new = rng.normal(mean, sd)
        log_f = -0.5 * ((new - x.level) / q) ** 2 - math.log(q)
        log_q = -0.5 * ((new - mean) / sd) ** 2 - math.log(sd)
        return new, log_f - log_q

    return replace(MODEL, guide=guide)


GUIDED = guided()
CASES = [(scheme, which) for scheme in weights.SCHEMES for which in ("blind", "guided")]


def chosen(scheme: int, w: np.ndarray, children: int, draws: int, through: bool) -> tuple[np.ndarray, np.ndarray]:
    """Counts of children (draw, particle), and a child of each draw: any one, or the one whose ancestor was given."""
    rng = np.random.default_rng(2)
    counts, child = np.empty((draws, len(w))), np.empty(draws, int)
    ancestors = np.empty(children + 1, np.int32)
    for k in range(draws):
        key = np.uint64(rng.integers(2**63))
        if through:
            ancestor = rng.choice(len(w), p=w)
            child[k] = conditional.resample_through(w, key, scheme, ancestor, ancestors)
            assert ancestors[child[k]] == ancestor
        else:
            weights.resample(w, key, scheme, ancestors)
            child[k] = rng.integers(children)
        counts[k] = np.bincount(ancestors[:children], minlength=len(w))
    return counts, child


@pytest.mark.parametrize("scheme", weights.SCHEMES.values())
def test_resampling_through_a_particle_drawn_by_its_weight_is_resampling(scheme: int) -> None:
    """Children's counts have the mean n w, and products of two counts the mean that they have without a condition;
    the child is uniform. 4.5 standard errors over 12 particles. Poison: a child that is forced to be there."""
    w = np.random.default_rng(1).gamma(0.5, size=12) + 0.05
    w /= w.sum()
    for children in (12, 30):
        free, _ = chosen(scheme, w, children, 6000, through=False)
        counts, child = chosen(scheme, w, children, 6000, through=True)
        error = counts.std(axis=0) / math.sqrt(6000) + 1e-9
        assert np.abs((counts.mean(axis=0) - children * w) / error).max() < 4.5
        places = np.bincount(child, minlength=children) / 6000
        assert np.abs(places - 1 / children).max() < 4.5 / math.sqrt(6000 * children)
        pairs, pairs_free = (np.einsum("ki,kj->kij", part, part) for part in (counts, free))
        error = np.sqrt((pairs.var(axis=0) + pairs_free.var(axis=0)) / 6000) + 1e-9
        assert np.abs((pairs.mean(axis=0) - pairs_free.mean(axis=0)) / error).max() < 4.5
        if scheme == weights.MULTINOMIAL:
            forced = free.copy()
            extra = np.random.default_rng(3).choice(12, 6000, p=w)
            forced[np.arange(6000), extra] += 1
            assert np.abs((np.square(forced).mean(axis=0) - np.square(free).mean(axis=0)) / error.max()).max() > 4.5


class Exchanged:
    """Filters of one parameter, of 2000 rows, each a draw of the pseudo-marginal target; exchanged twice."""

    def __init__(self, scheme: str, model: StateSpaceModel, n_x: int = 15, n: int = 4000) -> None:
        program, rule, crew = program_of(model), make_rule(0.5, scheme), Crew(1)
        whole = level_series(15)
        whole[[4, 9]] = np.nan
        self.ys = whole[:12]
        ahead = Series(model.rows(whole), np.empty((15, 0)), 15)
        self.exact_ahead = float(level_kalman(np.array(0.3), np.array(0.7), whole)[0])
        self.exact = float(level_kalman(np.array(0.3), np.array(0.7), self.ys)[0])
        series = Series(model.rows(self.ys), np.empty((12, 0)), 12)
        theta = np.tile([0.3, 0.7], (n, 1))
        many = 8 * n
        filters = Filters.empty(many, 1, n_x, 12)
        advance(program, filters, np.tile([0.3, 0.7], (many, 1)), series, 0, 12, root=5, rule=rule, crew=crew)
        weights = np.exp(filters.total(12) - self.exact)
        filters.take(np.random.default_rng(1).choice(many, n, p=weights / weights.sum()))
        prior = OnlineSMC2(model, PRIOR, n, 10, seed=1, threads=1).prior
        self.cloud = Cloud(
            prior, prior.to_line(theta), theta, np.full(n, -math.log(n)), filters, [Anchor(0)], References.none(n, 1)
        )
        exchanges.exchange(program, self.cloud, series, 3, rule, crew, 2 * n_x)
        exchanges.exchange(program, self.cloud, series, 4, rule, crew, 4 * n_x)  # through conditional filters
        fresh = {name: np.full(20_000, value) for name, value in THETA.items()}
        lls = log_likelihoods(model, fresh, self.ys, 4 * n_x, seed=9, resampling=scheme, threads=1)
        self.steps = lambda: advance(program, self.cloud.filters, theta, ahead, 12, 15, root=7, rule=rule, crew=crew)
        self.square = mean_and_error(np.exp(2 * (lls - self.exact)))

    def deviations(self) -> list[float]:
        """In standard errors: of E[1 / L^] from 1 / L, of E[L^] from the mean of a fresh filter's L^² / L, of the
        filtered mean from Kalman's, and of the likelihood of three more observations from Kalman's."""
        ratio = np.exp(self.cloud.filters.total(12) - self.exact)
        kalman = float(level_kalman(np.array(0.3), np.array(0.7), self.ys)[1])
        means = (self.cloud.filters.x[:, 0] * self.cloud.filters.w).sum(axis=1)
        self.steps()
        more = np.exp(self.cloud.filters.total(15) - np.log(ratio) - self.exact_ahead)
        found = []
        for values, wanted in (1 / ratio, (1.0, 0.0)), (ratio, self.square), (means, (kalman, 0.0)), (more, (1.0, 0.0)):
            mean, error = mean_and_error(values)
            found.append((mean - wanted[0]) / math.hypot(error, wanted[1]))
        return found


@pytest.mark.parametrize(("scheme", "which"), CASES)
def test_an_exchanged_filter_has_the_law_of_a_fresh_one(scheme: str, which: str) -> None:
    """4 standard errors for each of four means (false alarms: 1e-3 in all six cases)."""
    made = Exchanged(scheme, GUIDED if which == "guided" else MODEL)
    assert max(map(abs, made.deviations())) < 4


def test_an_exchange_without_the_guides_correction_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    original = exchanges.trace_paths

    def without(*arguments: Any) -> Any:
        path, corrections, origin = original(*arguments)
        return path, np.zeros_like(corrections), origin

    monkeypatch.setattr(exchanges, "trace_paths", without)
    assert max(map(abs, Exchanged("systematic", GUIDED).deviations())) > 6


def test_an_exchange_through_any_state_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The poison: a path nearer to zero than the filter's."""
    original = exchanges.trace_paths

    def nearer(*arguments: Any) -> Any:
        path, corrections, origin = original(*arguments)
        return 0.5 * path, corrections, origin

    monkeypatch.setattr(exchanges, "trace_paths", nearer)
    assert max(map(abs, Exchanged("multinomial", MODEL).deviations())) > 6


def evidence(scheme: str, model: StateSpaceModel, runs: int) -> np.ndarray:
    """exp(log Z - exact) of runs where nothing adapts, and filters grow after the sixth and the tenth observation."""
    ys = level_series(14)
    exact = level_posterior(ys)["log_evidence"]
    made = np.empty(runs)
    fixed: dict[str, Any] = {"n_moves": 1, "covariance": np.diag([0.35, 0.08]), "ess_threshold": 1.0}
    for k in range(runs):
        smc = OnlineSMC2(
            model, PRIOR, 40, 10, k, resampling=scheme, min_acceptance=0.999, max_n_x=10, threads=1, **fixed
        )
        for t, y in enumerate(ys):
            smc.settings["max_n_x"] = 10 if t < 6 else 20 if t < 10 else 40
            smc.update(y)
        assert smc.n_x == 40
        made[k] = math.exp(smc.log_evidence - exact)
    return made


def test_the_evidence_stays_unbiased_through_exchanges() -> None:
    """The mean of exp(log Z - exact) is 1 over 40 runs, within 3.3 standard errors (false alarms: 1e-3).

    The long version below has all cases, and 2,000 runs of each.
    """
    mean, error = mean_and_error(evidence("multinomial", GUIDED, 40))
    assert abs(mean - 1) < 3.3 * error
    assert error < 0.15


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("scheme", "which"), CASES)
def test_the_evidence_stays_unbiased_through_exchanges_long(scheme: str, which: str) -> None:
    mean, error = mean_and_error(evidence(scheme, GUIDED if which == "guided" else MODEL, 2000))
    print(f"{scheme} {which}: {mean:.4f} ({error:.4f})")
    assert abs(mean - 1) < 3.3 * error
    assert error < 0.02


def test_the_exchange_keeps_posterior_and_evidence() -> None:
    """Where exchanges happen as they are needed: filters of 8 particles grow to 64.

    Over 12 runs most filters did grow, and means lie within 4 standard errors of the exact values, log Z with 0.1 for
    its half variance.
    """
    ys = level_series(30)
    exact = level_posterior(ys)
    settings: dict[str, Any] = {"n_moves": 3, "min_acceptance": 0.35, "max_n_x": 64, "proposal": "random_walk"}
    engines = [run(MODEL, PRIOR, ys, 80, 8, seed=k, threads=1, **settings) for k in range(12)]
    assert sum(engine.n_x == 64 for engine in engines) >= 9
    mean, error = mean_and_error(np.array([engine.log_evidence for engine in engines]))
    assert abs(mean - exact["log_evidence"]) < 4 * error + 0.1
    for name in ("sigma_y", "level"):
        mean, error = mean_and_error(np.array([engine.mean(name) for engine in engines]))
        assert abs(mean - exact[name]) < 4 * error


def test_filters_grow_inside_a_window_too() -> None:
    """The path starts at the anchor's states, and anchors move on while filters are conditional."""
    ys = level_series(60)
    exact = level_posterior(ys)
    engines = []
    for k in range(6):
        smc = OnlineSMC2(MODEL, PRIOR, 100, 10, k, window=12, n_moves=3, min_acceptance=0.99, max_n_x=10, threads=1)
        for t, y in enumerate(ys):
            smc.settings["max_n_x"] = 10 if t < 14 else 20 if t < 30 else 80
            smc.update(y)
        engines.append(smc)
    grown = [step.t for smc in engines for step in smc.history if step.exchanges]
    assert len(grown) >= 10
    assert min(grown) >= 14
    mean, error = mean_and_error(np.array([engine.log_evidence for engine in engines]))
    assert abs(mean - exact["log_evidence"]) < 4 * error + 0.3


def test_a_guide_does_not_steer_by_an_observation_that_is_skipped() -> None:
    """An impossible observation counts as missing, for states that a guide had drawn with it too."""
    tempted = replace(
        GUIDED,
        log_likelihood=lambda y, x, theta, t: -math.inf if y > 50 else -0.5 * ((y - x.level) / theta.sigma_y) ** 2,
    )
    skipped = run(tempted, PRIOR, [0.1, 99.0, -0.2], 30, 20, seed=1, on_impossible="skip")
    missing = run(tempted, PRIOR, [0.1, math.nan, -0.2], 30, 20, seed=1)
    assert skipped.history[1].skipped
    assert skipped.log_evidence == missing.log_evidence
    assert np.array_equal(skipped.state["level"], missing.state["level"])
