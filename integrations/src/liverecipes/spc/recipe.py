"""The recipe: observations arrive one at a time, each becomes a message; at the end, the posterior of one change."""

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import numpy as np

from ..messages import Alarm, SpcEnd, SpcFailure, SpcPoint, SpcStart
from . import changepoint
from .chart import limits, score
from .conjugate import FloatArray, NormalInverseGamma, learned, segment_prior
from .data import Series
from .posterior import ChangePosterior, change_posterior

Sink = Callable[[dict[str, Any]], object]
NUTS_SUFFIX = ".nuts"
MOST_RUNS = 64


@dataclass(frozen=True)
class Settings:
    """Everything that decides the answer, besides the data and the seed."""

    k: float = 3.0
    """Limits of the chart, in sigma: an in-control point leaves them with the normal tail probability of +-k."""
    hazard: float = 0.01
    """Prior probability of a change after any point."""
    window: int = 10
    """Alarm on P(run length <= window) ..."""
    threshold: float = 0.5
    """... above this."""
    phase_one: int = 10
    """How many observations set the prior, unmonitored, where no prior is given."""
    prior: NormalInverseGamma | None = None
    prior_change: float = 0.5
    """Prior probability that there is a change at all, for the posterior at the end."""
    nuts: bool = True
    num_warmup: int = 1000
    num_samples: int = 1000
    num_chains: int = 4

    def __post_init__(self) -> None:
        for name, value, right, fine in (
            ("k", self.k, "above 0 and at most 30", 0 < self.k <= 30),
            ("hazard", self.hazard, "between 0 and 1", 0 < self.hazard < 1),
            ("window", self.window, "a positive whole number", self.window >= 1),
            ("threshold", self.threshold, "between 0 and 1", 0 < self.threshold < 1),
            ("phase1", self.phase_one, "at least 3 observations", self.phase_one >= 3),
            ("prior-change", self.prior_change, "between 0 and 1", 0 < self.prior_change < 1),
            ("warmup", self.num_warmup, "at least 1", self.num_warmup >= 1),
            ("draws", self.num_samples, "at least 10", self.num_samples >= 10),
            ("chains", self.num_chains, "at least 1", self.num_chains >= 1),
        ):
            if not fine:
                raise ValueError(f"{name}: must be {right}, got {value}")
        if self.prior is not None:
            m, kappa, a, b = (float(value) for value in self.prior)
            if not (np.isfinite([m, kappa, a, b]).all() and kappa > 0 and a > 0.5 and b > 0):
                raise ValueError(f"prior: KAPPA and B must be positive and A above 0.5, got {m},{kappa},{a},{b}")


def run(
    series: Series,
    settings: Settings,
    seed: int,
    sink: Sink,
    nuts_sink: Sink,
    *,
    stop: Callable[[], bool] = lambda: False,
    wait: Callable[[], object] = lambda: None,
    executor: Executor | None = None,
) -> SpcEnd:
    """Run the recipe and return its last message; every message goes to `sink`, those of NUTS to `nuts_sink`.

    `wait` paces the points; once `stop` returns True the run ends with what it has. NUTS samples on `executor`, by
    default in threads here. The messages depend on the series, the settings and the seed alone.
    """
    sink(dict(start_message(series, settings, seed)))
    monitor = Monitor(settings)
    alarms = 0
    for t, (label, value) in enumerate(zip(series.labels, series.values, strict=True)):
        if stop():
            break
        if t:
            wait()
        point = monitor.observe(label, float(value))
        alarms += len(point["alarms"])
        sink(dict(point))
    observed = np.array([x for x in monitor.values if not np.isnan(x)])
    prior = monitor.prior or (segment_prior(observed) if len(observed) else None)
    change = nuts = None
    failure: BaseException | None = None
    if prior is not None and len(observed) > 1:
        exact = change_posterior(observed, prior)
        change = _describe_change(exact, settings.prior_change, seed)
        # Equal values have no scale to sample on, and nothing to find.
        if settings.nuts and observed.min() < observed.max() and not stop():
            try:
                nuts = _sample(observed, prior, settings, seed, nuts_sink, stop, executor)
            except BaseException as error:  # an abandoned run says so as well, and does not stay "running"
                failure = error
                text = f"{type(error).__name__}: {error}"
                sink(dict(SpcFailure(type="spc.failure/1", part="run", seq=1, error=text)))
    end = SpcEnd(
        type="spc.end/1",
        part="run",
        seq=1 if failure is None else 2,
        status="failed" if failure is not None else "stopped" if stop() else "completed",
        points=len(monitor.values),
        observed=len(observed),
        alarms=alarms,
        prior=None if prior is None else {name: float(value) for name, value in prior._asdict().items()},
        change=change,
        nuts=nuts,
    )
    sink(dict(end))
    if failure is not None:
        raise failure
    return end


class Monitor:
    """Phase I, then chart and detector: one observation in, one message out.

    The chart's limits are the prediction of the most probable run, so they narrow as a level is learned and move to the
    new level when the detector believes in it; they never use a later observation.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.values: list[float] = []
        self.labels: list[str] = []
        self.prior = settings.prior
        """Of every new segment; None while phase I lasts."""
        self.runs = None if self.prior is None else changepoint.start(self.prior)
        self._recent = 0.0

    def observe(self, label: str, x: float) -> SpcPoint:
        """Take one observation, NaN for a missing one."""
        seq = len(self.values)
        self.values.append(x)
        self.labels.append(label)
        missing = bool(np.isnan(x))
        if self.runs is None or self.prior is None:
            point = self._point(seq, None if missing else x)
            self._learn()
            return point
        expected = self.runs.belief(self.runs.most_probable)
        bounds = limits(expected, self.settings.k)
        before, recent_before = self.runs, self._recent
        self.runs = changepoint.step(before, x, self.prior, self.settings.hazard, prune=1e-12)
        self._recent = self.runs.probability_recent(self.settings.window)
        point = self._point(seq, None if missing else x)
        point["center"], point["lower"], point["upper"] = bounds
        point["phase"] = 2
        if not missing:
            point["score"] = score(expected, x)
            point["alarms"] = self._alarms(x, bounds.lower, bounds.upper, before, recent_before)
        return point

    def _learn(self) -> None:
        """End phase I when it has seen enough: the run so far, with what it taught, is the detector's first."""
        seen = np.array([x for x in self.values if not np.isnan(x)])
        if len(seen) == self.settings.phase_one:
            self.prior = segment_prior(seen)
            self.runs = changepoint.start(learned(seen), len(self.values))

    def _alarms(
        self, x: float, lower: float, upper: float, before: changepoint.RunLengths, recent_before: float
    ) -> list[Alarm]:
        assert self.runs is not None
        found = []
        if not lower <= x <= upper:
            found.append(Alarm(rule="limits", text=f"{x:g} outside {lower:.5g} to {upper:.5g}"))
        if recent_before <= self.settings.threshold < self._recent:
            text = f"P(run <= {self.settings.window}) rose to {self._recent:.2f}"
            found.append(Alarm(rule="recent change", text=text))
        length = int(self.runs.lengths[self.runs.most_probable])
        if length <= before.lengths[before.most_probable]:
            text = f"likeliest run: since {self.labels[len(self.labels) - length]}"
            found.append(Alarm(rule="run length", text=text))
        return found

    def _point(self, seq: int, x: float | None) -> SpcPoint:
        if self.runs is None:
            length, lengths, probabilities, log_evidence = seq + 1, np.array([seq + 1]), np.ones(1), 0.0
        else:
            shown = np.flatnonzero(self.runs.probabilities >= 1e-3)
            largest = np.argsort(-self.runs.probabilities[shown], kind="stable")[:MOST_RUNS]
            shown = np.sort(shown[largest])
            lengths, probabilities = self.runs.lengths[shown], self.runs.probabilities[shown]
            length, log_evidence = int(self.runs.lengths[self.runs.most_probable]), self.runs.log_evidence
        return SpcPoint(
            type="spc.point/1",
            part="points",
            seq=seq,
            label=self.labels[seq],
            x=x,
            phase=1,
            center=None,
            lower=None,
            upper=None,
            score=None,
            recent=self._recent,
            run_length=length,
            lengths=lengths,
            probabilities=probabilities,
            log_evidence=log_evidence,
            alarms=[],
        )


def start_message(series: Series, settings: Settings, seed: int) -> SpcStart:
    """Return the first message of a run."""
    asked = json.loads(json.dumps(asdict(settings)))
    fingerprint = hashlib.sha256(json.dumps([asked, seed, series.labels]).encode())
    fingerprint.update(series.values.astype("<f8").tobytes())
    return SpcStart(
        type="spc.start/1",
        part="run",
        seq=0,
        data={"name": series.name, "source": series.source, "count": len(series.values)},
        settings=asked,
        seed=seed,
        digest=fingerprint.hexdigest(),
        label=f"spc of {series.name}",
        versions={name: _version(name) for name in ("liverecipes", "livenuts", "livequeue", "jax", "numpy", "scipy")},
        nuts=NUTS_SUFFIX if settings.nuts else None,
    )


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:  # run from a source tree
        return "source"


def _describe_change(exact: ChangePosterior, prior_change: float, seed: int) -> dict[str, Any]:
    # Independent draws serve the difference of the two levels, whose quantiles have no closed form.
    before, after = exact.sample(np.random.default_rng([seed, 1]), 20_000)
    difference = after - before
    lower, upper = (float(quantile) for quantile in np.quantile(difference, [0.025, 0.975]))
    first, last = exact.interval(0.95)
    return {
        "probability": exact.probability_of_change(prior_change),
        "log_bayes_factor": exact.log_bayes_factor,
        "probabilities": exact.probabilities,
        "mode": int(np.argmax(exact.probabilities)) + 1,
        "first": first,
        "last": last,
        "before": _side(exact, "before"),
        "after": _side(exact, "after"),
        "difference": {
            "median": float(np.median(difference)),
            "mean": exact.level("after")[0] - exact.level("before")[0],
            "sd": float(difference.std(ddof=1)),
            "lower": lower,
            "upper": upper,
        },
    }


def _side(exact: ChangePosterior, side: Literal["before", "after"]) -> dict[str, float]:
    mean, sd = exact.level(side)
    return {"mean": mean, "median": exact.median(side), "sd": sd, "noise": exact.noise(side)}


def _sample(
    observed: FloatArray,
    prior: NormalInverseGamma,
    settings: Settings,
    seed: int,
    sink: Sink,
    stop: Callable[[], bool],
    executor: Executor | None,
) -> dict[str, Any] | None:
    from .nuts import estimate, sample_levels  # JAX takes a second to import, and the chart does not need it

    found = sample_levels(
        observed,
        prior,
        num_warmup=settings.num_warmup,
        num_samples=settings.num_samples,
        num_chains=settings.num_chains,
        seed=seed,
        sink=sink,
        stop=stop,
        executor=executor,
    )
    chains, draws = found.mode.shape
    if draws < 10:
        return None
    before, after = found.level[..., 0], found.level[..., 1]
    return {
        "chains": chains,
        "draws": draws,
        "divergences": found.divergences,
        "probabilities": found.probabilities,
        "before": dict(estimate(before)),
        "after": dict(estimate(after)),
        "difference": dict(estimate(after - before)),
        "mode": int(np.argmax(found.probabilities)) + 1,
        "mode_probability": dict(estimate(found.mode)),
    }
