"""`OnlineSMC2`: parameters and hidden states, one observation after the other."""

from __future__ import annotations

import copy
import math
import secrets
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from concurrent.futures import Executor
from os import PathLike
from typing import Any

import numpy as np

from livesmc2.compiler.identity import describe, difference
from livesmc2.compiler.probe import check_possible, probe
from livesmc2.compiler.program import program_of
from livesmc2.kernel.rng import derive
from livesmc2.kernel.summary import weighted_quantiles
from livesmc2.messages import Sink
from livesmc2.model.prior import Prior
from livesmc2.model.state_space import ModelError, StateSpaceModel
from livesmc2.runtime import moves, store
from livesmc2.runtime.announce import Announcements
from livesmc2.runtime.blocks import Crew, Filters, Series, advance, make_rule
from livesmc2.runtime.cloud import Anchor, Cloud, Normal, References
from livesmc2.runtime.forecast import Forecast, simulate
from livesmc2.runtime.step import LEVELS, Step, summarise_state, summarise_theta

FORMAT = "livesmc2.engine/2"
_AHEAD = 512
"""Draws of the forecasts in steps."""
_TRIED = 50
"""Parameters at which the model's functions are tried before anything runs."""
_WORTH_THE_WAY = 20_000
"""Particles below which an update does not travel to an executor."""


class ImpossibleObservation(ValueError):
    """An observation that no particle of any parameter can explain: its likelihood is zero everywhere."""


class OnlineSMC2:
    """Exact online inference of a state-space model's parameters and states.

    model: a StateSpaceModel. prior: a dict of frozen SciPy distributions by parameter, or an object with rvs and
        logpdf (see `Prior`).
    n_theta, n_x: parameter particles, and state particles for each.
    seed: the same seed gives the same bits; None draws one, kept as `smc.seed`.
    window: None moves parameters by the whole history: exact, with an amortised cost that is constant where
        rejuvenations thin out, and memory that grows by 16 n_theta bytes an observation. W replays the newest
        observation and the W to 2 W - 1 before it, from a stored normal law of the posterior before those: the cost of
        any step and the memory are bounded (three times the states, apart from the observations themselves).
    horizon: forecast so many observations ahead in every step, as quantiles (level, horizon, component) of 512 draws;
        the model needs `observe` then, and may not have covariates.
    sink: any callable of one message. executor: where filters run, a concurrent.futures.Executor or a function that
        makes one: those of all moves and exchanges, and those of updates of 20,000 particles or more, below which the
        way there takes longer. threads: without one, over how many threads (None: all cores). Neither changes bits.
    checkpoint: a path or a mapping of bytes, where the state is kept after each rejuvenation and at `close`.
    ess_threshold: a rejuvenation is due when the parameters' effective sample size falls below this fraction; the
        states' filters resample by the same fraction. resampling: systematic, stratified or multinomial (of states).
    n_moves: moves of each rejuvenation; None: until each parameter has moved about once, 2 to 20.
    proposal: random_walk (2.38 / sqrt(d) times the particles' covariance, on the transformed scale), independent
        (a Student t fitted to the particles) or mixed (the two in turn). covariance (d, d): moves are random walks
        with this one, fixed (with ess_threshold=1 the evidence is unbiased then; as things adapt it is consistent).
    min_acceptance, max_n_x: when moves accept less, states are doubled, up to max_n_x (None: 8 n_x; n_x: never).
    on_impossible: "raise" ImpossibleObservation, or "skip" the observation, which is counted and said in its step. An
        observation that raised counts as missing if you go on.
    snapshot_every: keep a snapshot in memory each so many observations, from which `revise` goes on; without, it
        replays from the start.
    compiled: False runs the model's functions in plain Python, for debugging.

    >>> from livesmc2.models import local_level
    >>> model, prior = local_level()
    >>> smc = OnlineSMC2(model, prior, n_theta=50, n_x=50, seed=1)
    >>> step = smc.update(0.3)
    >>> smc.theta["sigma_level"].shape, round(float(smc.weights.sum()), 9)
    ((50,), 1.0)
    """

    def __init__(
        self,
        model: StateSpaceModel,
        prior: Any,
        n_theta: int = 400,
        n_x: int = 200,
        seed: int | None = None,
        window: int | None = None,
        sink: Sink | None = None,
        executor: Executor | Callable[[], Executor] | None = None,
        checkpoint: str | PathLike[str] | MutableMapping[str, bytes] | None = None,
        *,
        threads: int | None = None,
        ess_threshold: float = 0.5,
        resampling: str = "systematic",
        n_moves: int | None = None,
        proposal: str = "mixed",
        covariance: Any = None,
        min_acceptance: float = 0.1,
        max_n_x: int | None = None,
        on_impossible: str = "raise",
        snapshot_every: int | None = None,
        horizon: int = 0,
        compiled: bool = True,
    ) -> None:
        program = program_of(model, compiled)
        _positive("n_theta", n_theta, least=2)
        _positive("n_x", n_x)
        for name, value in (("window", window), ("n_moves", n_moves), ("snapshot_every", snapshot_every)):
            if value is not None:
                _positive(name, value)
        if max_n_x is not None:
            _positive("max_n_x", max_n_x)
        _positive("horizon", horizon, least=0)
        if horizon and model.observe is None:
            raise ModelError("horizon: forecasts of observations need a function `observe` in the model; it has none")
        if horizon and model.covariates:
            raise ValueError(f"horizon: the covariates {model.covariates} of times to come are not known; use forecast")
        if proposal not in moves.PROPOSALS:
            raise ValueError(f"proposal must be one of {', '.join(moves.PROPOSALS)}, got {proposal!r}")
        if on_impossible not in ("raise", "skip"):
            raise ValueError(f"on_impossible must be 'raise' or 'skip', got {on_impossible!r}")
        if not 0.0 <= min_acceptance < 1.0:
            raise ValueError(f"min_acceptance must lie in [0, 1), got {min_acceptance!r}")
        if sink is not None and not callable(sink):
            raise TypeError(f"sink must be a callable of one message, got {sink!r:.80}")
        self.model = model
        self.prior = prior if isinstance(prior, Prior) else Prior(prior, model.parameter_fields)
        self.seed = make_seed(seed)
        self.settings: dict[str, Any] = {
            "n_theta": n_theta,
            "n_x": n_x,
            "window": window,
            "ess_threshold": float(ess_threshold),
            "resampling": resampling,
            "n_moves": n_moves,
            "proposal": proposal,
            "covariance": _covariance(covariance, model.parameter_fields.width),
            "min_acceptance": float(min_acceptance),
            "max_n_x": 8 * n_x if max_n_x is None else max_n_x,
            "on_impossible": on_impossible,
            "snapshot_every": snapshot_every,
            "horizon": horizon,
        }
        self._program = program
        self._rule = make_rule(ess_threshold, resampling)
        self._crew = Crew(threads, executor)
        self._crew.take(model)
        self._begin()
        row = np.zeros(model.observation_width)
        check_possible(program, self._cloud.theta[:_TRIED])
        probe(program, self._cloud.theta[0], row, np.zeros(len(model.covariates)))
        self._announce = None if sink is None else Announcements(sink)
        self._checkpoint = None if checkpoint is None else store.place(checkpoint)
        if self._announce is not None:
            self._announce.start(self)

    def _begin(self) -> None:
        n_theta, n_x = self.settings["n_theta"], self.settings["n_x"]
        rng = np.random.Generator(np.random.SFC64(derive(self.seed, moves.PRIOR)))
        theta = self.prior.draw(rng, n_theta, stratified=True)
        self._series = Series.empty(self.model)
        filters = Filters.empty(n_theta, self.model.state_fields.width, n_x, 2 * (self.settings["window"] or 32))
        self._cloud = Cloud.drawn(self.prior, theta, filters)
        self.log_evidence: float = 0.0
        """log p(observations so far)."""
        self.history: list[Step] = []
        """A step for each observation."""
        self._snapshots: list[dict[str, Any]] = []

    # -- observations --------------------------------------------------------------------------------------------------

    @property
    def t(self) -> int:
        """How many observations were taken in; the next has this index."""
        return self._series.length

    def update(self, y: Any, covariates: Mapping[str, float] | None = None) -> Step:
        """Take in an observation: a number, or one for each observed name; NaN is missing.

        covariates: those of this time, where the model has any. Raises ImpossibleObservation (see `on_impossible`).
        """
        row = self.model.row(y)
        covariate_row = self.model.covariate_rows(covariates, 1)[0]
        every = self.settings["snapshot_every"]
        if every is not None and self.t % every == 0:
            self._snapshots.append(self._state())
        return self._take_in(row, covariate_row)

    def _take_in(self, row: np.ndarray, covariate_row: np.ndarray) -> Step:
        cloud, series, t = self._cloud, self._series, self._series.length
        series.append(row, covariate_row)
        guided = self.model.guide is not None
        before = (cloud.filters.x.copy(), cloud.filters.w.copy()) if guided else None
        faults = self._advance(t)
        increment = _log_sum(cloud.log_weights + cloud.filters.increments[:, t - cloud.filters.offset])
        skipped = increment == -math.inf
        if skipped:
            series.ys[t], increment = math.nan, 0.0
            cloud.filters.increments[:, t - cloud.filters.offset] = 0.0
            # The filters kept their weights: with the observation taken back they are those of a missing one. Only a
            # guide knew of it.
            if before is not None:
                cloud.filters.x, cloud.filters.w = before
                self._advance(t)
        else:
            cloud.log_weights = cloud.log_weights + cloud.filters.increments[:, t - cloud.filters.offset] - increment
        self.log_evidence += increment
        weights = cloud.weights
        ess = float(1.0 / (weights @ weights))
        done = None
        if ess < self.settings["ess_threshold"] * len(weights):
            done = moves.rejuvenate(
                self._program, cloud, series, self.seed, self._rule, self._crew, self._move_settings()
            )
        if self.settings["window"] is not None:
            cloud.slide(t + 1, self.settings["window"])
        step = Step(
            t=t,
            y=row.tolist(),
            log_evidence=self.log_evidence,
            log_evidence_increment=increment,
            ess=ess,
            n_x=cloud.filters.n_x,
            rejuvenated=done is not None,
            acceptance=[] if done is None else done.acceptance,
            exchanges=0 if done is None else done.exchanges,
            faults=faults + (0 if done is None else done.faults),
            skipped=skipped,
            theta=summarise_theta(cloud),
            state=summarise_state(cloud, self._offset(t)),
            forecast=self._ahead(),
        )
        self.history.append(step)
        if self._announce is not None:
            self._announce.step(step)
        if self._checkpoint is not None and done is not None:
            self.save(self._checkpoint)
        if skipped and self.settings["on_impossible"] == "raise":
            raise ImpossibleObservation(
                f"observation {t} ({_shown(self.model, row)}) has likelihood zero under every particle of every "
                "parameter; it counts as missing if you go on. on_impossible='skip' goes on by itself; a heavier tail "
                "in log_likelihood is the usual remedy"
            )
        return step

    def _advance(self, t: int) -> int:
        """The filters' step at time t; how many faults there were."""
        cloud = self._cloud
        return advance(
            self._program, cloud.filters, cloud.theta, self._series, t, t + 1,
            root=derive(self.seed, moves.ONLINE), rule=self._rule, crew=self._crew,
            travel=cloud.filters.w.size >= _WORTH_THE_WAY,
        )  # fmt: skip

    def revise(self, t: int, y: Any) -> Step:
        """Set observation t right: late, or corrected. The state becomes that of a run that had it so from the start.

        Observations from the last snapshot before t on are taken in again (see `snapshot_every`); their steps are
        sent again with new numbers. Returns the newest step.
        """
        if isinstance(t, bool) or not isinstance(t, int) or not 0 <= t < self.t:
            raise ValueError(f"revise: t must be the index of an observation taken in, 0 to {self.t - 1}, got {t!r}")
        row = self.model.row(y)
        series = self._series.copy()
        series.ys[: self.t] = [step.y for step in self.history]
        series.ys[t] = row
        earlier = [snapshot for snapshot in self._snapshots if snapshot["t"] <= t]
        if earlier:
            self._restore(earlier[-1])
        else:
            self._begin()
        self._snapshots = earlier
        for k in range(self.t, series.length):
            self._take_in(series.ys[k], series.cov[k])
        return self.history[-1]

    def _ahead(self) -> np.ndarray | None:
        """Quantiles (level, horizon, component) of the next observations, for a step."""
        horizon = self.settings["horizon"]
        if not horizon:
            return None
        forecast = self.forecast(horizon, n_draws=_AHEAD)
        assert forecast.y is not None
        return np.quantile(forecast.y, LEVELS, axis=1, method="inverted_cdf")

    def _move_settings(self) -> moves.MoveSettings:
        chosen = self.settings
        return moves.MoveSettings(
            chosen["n_moves"], chosen["proposal"], chosen["min_acceptance"], chosen["max_n_x"], chosen["covariance"]
        )

    def _offset(self, t: int) -> float:
        return float((derive(self.seed, moves.SUMMARY, t) >> 12) * 2.0**-52 + 2.0**-53)

    # -- what is believed ----------------------------------------------------------------------------------------------

    @property
    def theta(self) -> dict[str, np.ndarray]:
        """Parameters by name (n_theta,), or (n_theta, length)."""
        return self.model.parameter_fields.split(self._cloud.theta.copy(), 1)

    @property
    def weights(self) -> np.ndarray:
        """Of the parameters (n_theta,), sum 1."""
        return self._cloud.weights

    @property
    def state(self) -> dict[str, np.ndarray]:
        """States by name (n_theta, n_x), or (n_theta, n_x, length)."""
        return self.model.state_fields.split(self._cloud.filters.x.copy(), 1)

    @property
    def state_weights(self) -> np.ndarray:
        """Of all states (n_theta, n_x), sum 1: a parameter's weight times a state's weight in its filter."""
        return np.asarray(self.weights[:, None] * self._cloud.filters.w)

    @property
    def n_x(self) -> int:
        """State particles for each parameter, now."""
        return self._cloud.filters.n_x

    @property
    def ess(self) -> float:
        """Effective sample size of the parameters."""
        weights = self.weights
        return float(1.0 / (weights @ weights))

    @property
    def rejuvenations(self) -> int:
        """How often parameters were resampled and moved."""
        return sum(step.rejuvenated for step in self.history)

    def derive(self, function: Callable[[Any, Any], Any]) -> np.ndarray:
        """A quantity of every particle: function(theta, x) of arrays by name, broadcast to (n_theta, n_x).

        For an epidemic, `smc.derive(lambda theta, x: theta.beta / theta.gamma * x.S / 763)`; theta["beta"] will do too.
        """
        theta = Named({name: part[:, None] for name, part in self.theta.items()})
        values = np.asarray(function(theta, Named(self.state)), float)
        if values.shape not in ((), (len(self.weights), 1), self._cloud.filters.w.shape):
            raise ValueError(f"derive: the function must give {self._cloud.filters.w.shape}, it gave {values.shape}")
        return np.broadcast_to(values, self._cloud.filters.w.shape)

    def quantiles(self, what: str | np.ndarray | Callable[[Any, Any], Any], levels: Any = LEVELS) -> np.ndarray:
        """Quantiles (level,) of a parameter or state by name, of values (n_theta,) or (n_theta, n_x), or of a
        function as `derive` takes it."""
        values, weights = self._values(what)
        return weighted_quantiles(values.ravel(), weights.ravel(), levels)

    def mean(self, what: str | np.ndarray | Callable[[Any, Any], Any]) -> float:
        """The posterior mean; `what` as in `quantiles`."""
        values, weights = self._values(what)
        return float((values * weights).sum())

    def _values(self, what: Any) -> tuple[np.ndarray, np.ndarray]:
        if callable(what):
            return self.derive(what), self.state_weights
        if isinstance(what, str):
            columns = dict(zip(self.model.parameter_fields.labels(), self._cloud.theta.T, strict=True))
            states = dict(zip(self.model.state_fields.labels(), np.moveaxis(self._cloud.filters.x, 1, 0), strict=True))
            if what not in columns | states:
                raise KeyError(f"{what!r} is no parameter or state; there are {', '.join(columns | states)}")
            what = columns[what] if what in columns else states[what]
        values = np.asarray(what, float)
        if values.shape == self.weights.shape:
            return values, self.weights
        if values.shape == self._cloud.filters.w.shape:
            return values, self.state_weights
        raise ValueError(
            f"values have the shape (n_theta,) or (n_theta, n_x), {self._cloud.filters.w.shape} now, got {values.shape}"
        )

    def summary(self) -> Summary:
        """Mean, sd and quantiles of every parameter and state number, by label."""
        rows = {}
        for fields, cloud in ((self.model.parameter_fields, False), (self.model.state_fields, True)):
            for label in fields.labels():
                values, weights = self._values(label)
                mean = float((values * weights).sum())
                sd = math.sqrt(float(((values - mean) ** 2 * weights).sum()))
                quantiles = weighted_quantiles(values.ravel(), weights.ravel(), LEVELS)
                rows[label] = {"mean": mean, "sd": sd} | {
                    f"{100 * level:g}%": float(q) for level, q in zip(LEVELS, quantiles, strict=True)
                }
                rows[label]["state"] = cloud
        return Summary(rows)

    def to_pandas(self) -> Any:
        """The history as a DataFrame: a row a step, columns such as ("theta", "beta", "mean"). Needs pandas."""
        import pandas as pd

        rows = []
        for step in self.history:
            row: dict[tuple[str, str, str], Any] = {
                ("step", name, ""): getattr(step, name)
                for name in (
                    "t", "log_evidence", "log_evidence_increment", "ess", "n_x", "rejuvenated", "exchanges", "faults",
                    "skipped",
                )
            }  # fmt: skip
            for what, fields in (("theta", self.model.parameter_fields), ("state", self.model.state_fields)):
                content = getattr(step, what)
                for k, label in enumerate(fields.labels()):
                    row[what, label, "mean"] = content["mean"][k]
                    row[what, label, "sd"] = content["sd"][k]
                    for place, level in enumerate(LEVELS):
                        row[what, label, f"{100 * level:g}%"] = content["quantiles"][place, k]
            for k, value in enumerate(step.y):
                row["y", (self.model.observed or ("y",))[k], ""] = value
            rows.append(row)
        frame = pd.DataFrame(rows)
        frame.columns = pd.MultiIndex.from_tuples(frame.columns)
        return frame

    def forecast(
        self, horizon: int, *, n_draws: int = 2000, covariates: Mapping[str, Any] | None = None, seed: int | None = None
    ) -> Forecast:
        """The states, and where the model has `observe` the observations, of the next `horizon` times.

        Draws are systematic over parameters and states. The engine's state is left alone; without a seed the
        numbers follow from the engine's seed and time.
        """
        _positive("horizon", horizon)
        _positive("n_draws", n_draws)
        rows = self.model.covariate_rows(covariates, horizon)
        key = derive(self.seed if seed is None else make_seed(seed), moves.FORECAST, self.t)
        return simulate(self._program, self._cloud, self.t, horizon, n_draws, rows, key)

    # -- keeping -------------------------------------------------------------------------------------------------------

    def fork(self) -> OnlineSMC2:
        """An independent copy, without sink, checkpoint or executor: what it is told leaves this one alone."""
        other = object.__new__(OnlineSMC2)
        other.__dict__.update(self.__dict__)
        other._announce = other._checkpoint = None
        other._crew = Crew(self._crew.threads)
        other.settings, other._snapshots = dict(self.settings), list(self._snapshots)
        other._restore(self._state())
        return other

    def _state(self) -> dict[str, Any]:
        """All that changes, as plain data of its own."""
        cloud, t = self._cloud, self.t
        filters = vars(cloud.filters)
        return copy.deepcopy(
            {
                "t": t,
                "log_evidence": self.log_evidence,
                "ys": self._series.ys[:t],
                "cov": self._series.cov[:t],
                "u": cloud.u,
                "theta": cloud.theta,
                "log_weights": cloud.log_weights,
                "filters": dict(filters),
                "references": dict(vars(cloud.references)),
                "anchors": [
                    {
                        "time": anchor.time,
                        "past": None if anchor.past is None else anchor.past._asdict(),
                        "x": anchor.x,
                        "w": anchor.w,
                        "lines": anchor.lines,
                    }
                    for anchor in cloud.anchors
                ],
                "history": [step.to_dict() for step in self.history],
            }
        )

    def _restore(self, state: Mapping[str, Any]) -> None:
        state = copy.deepcopy(dict(state))
        t = state["t"]
        self._series = Series.empty(self.model, max(64, 2 * t))
        self._series.ys[:t], self._series.cov[:t], self._series.length = state["ys"], state["cov"], t
        anchors = [
            Anchor(**(one | {"past": None if one["past"] is None else Normal(**one["past"])}))
            for one in state["anchors"]
        ]
        filters, references = Filters(**state["filters"]), References(**state["references"])
        self._cloud = Cloud(self.prior, state["u"], state["theta"], state["log_weights"], filters, anchors, references)
        self.log_evidence = state["log_evidence"]
        self.history = [Step.from_dict(one) for one in state["history"]]

    def save(self, path: str | PathLike[str] | MutableMapping[str, bytes]) -> None:
        """Write everything to one file, or an entry `smc2` of a mapping: versioned, with a checksum, no pickle."""
        content = {
            "format": FORMAT,
            "model": describe(self.model),
            "log_prior": self.prior.log_density(self._cloud.theta),
            "seed": self.seed,
            "settings": self.settings,
            "state": self._state(),
            "snapshots": self._snapshots,
            "sent": None if self._announce is None else self._announce.state(),
        }
        store.write(path, content)

    @classmethod
    def load(
        cls,
        path: str | PathLike[str] | MutableMapping[str, bytes],
        model: StateSpaceModel,
        prior: Any,
        *,
        sink: Sink | None = None,
        executor: Executor | Callable[[], Executor] | None = None,
        checkpoint: str | PathLike[str] | MutableMapping[str, bytes] | None = None,
        threads: int | None = None,
        compiled: bool = True,
    ) -> OnlineSMC2:
        """What was saved; going on is going on, to the bit. The model must be the one that was saved: the same source,
        referring to the same values, under whatever version of Python.

        With a sink its messages go on where those of the saved engine ended.
        """
        content = store.read(path)
        if content.get("format") != FORMAT:
            raise store.StoreError(f"{path}: its format is {content.get('format')!r}, this version reads {FORMAT!r}")
        if (reason := difference(content["model"], model)) is not None:
            raise store.StoreError(f"{path} belongs to another model: {reason}")
        settings = dict(content["settings"])
        smc = cls(
            model, prior, seed=content["seed"], executor=executor, threads=threads, compiled=compiled, **settings
        )  # fmt: skip
        smc._restore(content["state"])
        if not np.allclose(smc.prior.log_density(smc._cloud.theta), content["log_prior"], rtol=1e-9, atol=1e-9):
            raise store.StoreError(f"{path} belongs to another prior: its density at the parameters kept differs")
        smc._snapshots = content["snapshots"]
        smc._checkpoint = None if checkpoint is None else store.place(checkpoint)
        if sink is not None:
            smc._announce = Announcements(sink)
            if content["sent"] is None:
                smc._announce.start(smc)
            else:
                smc._announce.restore(content["sent"])
        return smc

    def close(self, status: str = "completed", error: BaseException | None = None) -> None:
        """Write the checkpoint, say the end to the sink, and let threads go. The state stays readable."""
        if self._checkpoint is not None:
            self.save(self._checkpoint)
        if self._announce is not None:
            self._announce.end(self, status, error)
        self._crew.close()

    def __enter__(self) -> OnlineSMC2:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        self.close("completed" if error is None else "failed", error)

    def __repr__(self) -> str:
        return (
            f"<OnlineSMC2 {self.model.name}: {self.t} observations, log evidence {self.log_evidence:.3f}, "
            f"{len(self.weights)} parameters (ESS {self.ess:.0f}) x {self.n_x} states>"
        )


class Named(dict[str, np.ndarray]):
    """Arrays by name, as attributes too."""

    def __getattr__(self, name: str) -> np.ndarray:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{name!r} is none of {', '.join(self)}") from None


class Summary(dict[str, dict[str, float]]):
    """A mapping by label that prints as a table."""

    def __repr__(self) -> str:
        columns = ["mean", "sd", *(f"{100 * level:g}%" for level in LEVELS)]
        width = max([len(label) for label in self], default=0)
        lines = [" " * width + "".join(f"{name:>11}" for name in columns)]
        lines += [
            f"{label:<{width}}" + "".join(f"{row[name]:>11.4g}" for name in columns) for label, row in self.items()
        ]
        return "\n".join(lines)

    __str__ = __repr__


def model_weights(engines: Sequence[OnlineSMC2], prior: Sequence[float] | None = None) -> np.ndarray:
    """Posterior probabilities of several models (k,) that have seen the same observations, by their evidence.

    prior: their probabilities before; None: equal.
    """
    if len({engine.t for engine in engines}) > 1:
        raise ValueError(f"model_weights: the engines have seen {[engine.t for engine in engines]} observations")
    with np.errstate(divide="ignore"):
        log = np.array([engine.log_evidence for engine in engines]) + np.log(
            np.full(len(engines), 1.0) if prior is None else np.asarray(prior, float)
        )
    weights = np.exp(log - log.max())
    return np.asarray(weights / weights.sum())


def make_seed(seed: Any) -> int:
    """A seed, drawn where there is none."""
    if seed is None:
        return secrets.randbits(63)
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= int(seed) < 2**63:
        raise ValueError(f"seed must be a whole number from 0 to 2^63 - 1, or None, got {seed!r}")
    return int(seed)


def _positive(name: str, value: Any, least: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")


def _covariance(value: Any, d: int) -> np.ndarray | None:
    if value is None:
        return None
    covariance = np.array(value, float)
    if covariance.shape != (d, d) or not np.allclose(covariance, covariance.T):
        raise ValueError(f"covariance must be a symmetric array ({d}, {d}), got shape {covariance.shape}")
    try:
        np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        raise ValueError("covariance must be positive definite") from None
    return covariance


def _log_sum(values: np.ndarray) -> float:
    top = float(values.max())
    return top if not math.isfinite(top) else top + math.log(float(np.exp(values - top).sum()))


def _shown(model: StateSpaceModel, row: np.ndarray) -> str:
    if not model.observed:
        return f"{row[0]:g}"
    return ", ".join(f"{name}={value:g}" for name, value in zip(model.observed, row, strict=True))
