"""Online SMC² on the page: what is believed of states and parameters after each observation, and how the sampler is.

`quantiles` has a series for each level of each label in `show`, told apart by `chain`, the level's place; `steps` and
`observations` are always sent. A difference holds the rejuvenations that came, of each series the values that came, and
`forecast` whole: quantiles by component, level and time ahead, from the observation `first` on.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..series import RECENT, Series
from .choice import choose

MOST_LABELS, MOST_OBSERVED, MOST_LEVELS, MOST_REJUVENATIONS, MOST_AHEAD = 100, 12, 9, 500, 200
STEPS = ("ess", "n_x", "log_evidence", "log_evidence_increment")
_LEVELS = (0.025, 0.25, 0.5, 0.75, 0.975)
"""Where the start has not come yet."""
_DEFAULT_STATES, _DEFAULT_PARAMETERS = 4, 6
_ENOUGH = 3
"""Observations before they are drawn on a state."""
_BLOCK = 64


class Smc2:
    """One run of livesmc2."""

    name: ClassVar[str] = "smc2"

    def __init__(self, run: str) -> None:
        self._start: dict[str, Any] = {}
        self._status = "running"
        self._failures: deque[dict[str, Any]] = deque(maxlen=20)
        self._progress: dict[str, Any] = {}
        self._widths = (0, 0, 0, 0)  # observed, levels, states, parameters: what a row holds behind the steps' numbers
        self._series = Series(0)
        self._waiting: list[NDArray[Any]] = []
        self._count = self._next = 0  # observations so far; the next message of part `steps`
        self._near = _Near(0, 0)
        self._seen_on: list[int | None] = []
        self._forecast: dict[str, Any] | None = None
        self._rejuvenations: deque[dict[str, Any]] = deque(maxlen=MOST_REJUVENATIONS)
        self._totals = dict.fromkeys(("rejuvenations", "exchanges", "faults", "skipped", "revised"), 0)
        self._structure = 0  # counts what a difference cannot tell

    def take(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "smc2.step/1":
            if message["seq"] >= self._next:
                self._step(message)
        elif kind == "smc2.progress/1":
            self._progress = {key: message[key] for key in ("total", "elapsed")}
        elif kind == "smc2.start/1":
            self._start = message
            self._status = "running"
            self._structure += 1
        elif kind == "smc2.failure/1":
            self._failures.append({"t": message["t"], "error": str(message["error"])[:2000]})
            self._status = self._status if message["recovered"] else "failed"
        elif kind == "smc2.end/1":
            self._status = str(message["status"])

    def _step(self, message: dict[str, Any]) -> None:
        y = np.array(message["y"], float)[:MOST_OBSERVED]
        state, theta = (np.asarray(message[what]["quantiles"], float) for what in ("state", "theta"))
        states, parameters = (each[:MOST_LEVELS, :MOST_LABELS] for each in (state, theta))
        if not self._next:
            self._widths = (len(y), len(states), states.shape[1], parameters.shape[1])
            self._series = Series(len(STEPS) + len(y) + states.size + parameters.size)
            self._near = _Near(len(y), states.shape[1])
            self._seen_on = [None] * len(y)
            self._structure += 1
        t = int(message["t"])
        if t < self._count:
            self._revise(t)
        elif t > self._count:  # the engine was loaded, and those before were told to nobody, or under another run
            self._enter()
        self._next = message["seq"] + 1
        if not self._waiting:
            self._first = t
        self._count = t + 1
        numbers = [float(message[name]) for name in STEPS]
        self._waiting.append(np.concatenate([numbers, y, states.T.ravel(), parameters.T.ravel()]))
        if len(self._waiting) == _BLOCK:
            self._enter()
        self._near.add(y, states[len(states) // 2])
        self._look_ahead(message.get("forecast"), len(states))
        self._totals["rejuvenations"] += bool(message["rejuvenated"])
        self._totals["skipped"] += bool(message["skipped"])
        for what in ("exchanges", "faults"):
            self._totals[what] += message[what]
        if message["rejuvenated"]:
            acceptance = list(map(float, message["acceptance"]))
            mean = sum(acceptance) / len(acceptance) if acceptance else None
            event = {"t": t, "acceptance": mean, "moves": len(acceptance), "exchanges": message["exchanges"]}
            self._rejuvenations.append(event)

    def _look_ahead(self, forecast: Any, levels: int) -> None:
        """Keep the newest forecast of the observations: (level, time ahead, component)."""
        before = self._forecast
        self._forecast = None
        if forecast is not None and len(forecast) == levels:
            quantiles = np.asarray(forecast, float)[:, :MOST_AHEAD, :MOST_OBSERVED].transpose(2, 0, 1)
            self._forecast = {"first": self._count, "quantiles": quantiles.tolist()}
        if (before is None) != (self._forecast is None):
            self._structure += 1

    def _revise(self, t: int) -> None:
        """An observation was set right: those from `t` on come again."""
        self._enter()
        self._series.cut(t)
        self._totals["revised"] += 1
        while self._rejuvenations and self._rejuvenations[-1]["t"] >= t:
            self._rejuvenations.pop()
            self._totals["rejuvenations"] -= 1
        self._structure += 1

    def _enter(self) -> Series:
        if self._waiting:
            self._series.add(np.array(self._waiting), self._first)
            self._waiting = []
        return self._series

    def full(self, show: Sequence[str]) -> dict[str, Any]:
        self._look()
        series, columns = self._enter(), self._columns()
        shown = self._chosen(show, columns)
        return {
            "model": str(self._start.get("model", "")),
            "settings": self._start.get("settings", {}),
            "levels": self._levels(),
            "names": list(columns),
            "states": self._labels("state", self._widths[2]),
            "shown": shown,
            "seen_on": dict(zip(self._observed(), self._states_seen(), strict=True)),
            "steps": [{"name": name, "chain": ""} | series.full(place) for name, place in self._numbers(STEPS, 0)],
            "observations": [
                {"name": name, "chain": ""} | series.full(place)
                for name, place in self._numbers(self._observed(), len(STEPS))
            ],
            "quantiles": [
                {"name": name, "chain": level} | series.full(columns[name] + level)
                for name in shown
                for level in range(self._widths[1])
            ],
            **self._state(0),
        }

    def since(self, mark: Any, show: Sequence[str]) -> dict[str, Any] | None:
        self._look()
        structure, start = mark
        series = self._enter()
        if structure != self._structure or series.count - start > RECENT:
            return None
        if series.count == start:
            return {"steps": [], "observations": [], "quantiles": []} | self._state(start)
        columns = self._columns()

        def came(name: str, chain: Any, place: int) -> dict[str, Any]:
            return {"name": name, "chain": chain, "from": start, "values": series.since(start, place)}

        return {
            "steps": [came(name, "", place) for name, place in self._numbers(STEPS, 0)],
            "observations": [came(name, "", place) for name, place in self._numbers(self._observed(), len(STEPS))],
            "quantiles": [
                came(name, level, columns[name] + level)
                for name in self._chosen(show, columns)
                for level in range(self._widths[1])
            ],
            **self._state(start),
        }

    def mark(self) -> Any:
        return self._structure, self._enter().count

    def _state(self, start: int) -> dict[str, Any]:
        return {
            "status": self._status,
            "count": self._count,
            "total": self._progress.get("total"),
            "elapsed": self._progress.get("elapsed"),
            "totals": dict(self._totals),
            "forecast": self._forecast,
            "rejuvenations": [event for event in self._rejuvenations if event["t"] >= start],
            "failures": list(self._failures),
        }

    def _look(self) -> None:
        """See on which states the observations are, now."""
        seen_on = self._near.states()
        if seen_on != self._seen_on:
            self._seen_on = seen_on
            self._structure += 1

    def _labels(self, what: str, count: int) -> list[str]:
        """The first labels; numbered where the start has not come yet."""
        labels = [str(label) for label in self._start.get(what, ())][:count]
        return labels if len(labels) == count else [f"{what}[{place}]" for place in range(count)]

    def _observed(self) -> list[str]:
        return self._labels("observed", self._widths[0])

    def _states_seen(self) -> list[str | None]:
        labels = self._labels("state", self._widths[2])
        return [None if place is None else labels[place] for place in self._seen_on]

    def _levels(self) -> list[float]:
        levels = list(map(float, self._start.get("levels", ())))[: self._widths[1]]
        return levels if len(levels) == self._widths[1] else list(_LEVELS[: self._widths[1]])

    def _numbers(self, names: Sequence[str], first: int) -> list[tuple[str, int]]:
        """Names and their columns; none before the first step."""
        return [(name, first + place) for place, name in enumerate(names)] if self._next else []

    def _columns(self) -> dict[str, int]:
        """Of each label, states first, the column of its lowest quantile."""
        observed, levels, states, parameters = self._widths
        labels = self._labels("state", states)
        for label in self._labels("parameters", parameters):
            labels.append(f"{label} (parameter)" if label in labels else label)
        first = len(STEPS) + observed
        return {label: first + levels * place for place, label in enumerate(labels)}

    def _chosen(self, show: Sequence[str], columns: dict[str, int]) -> list[str]:
        """The labels asked for; else the states that are observed, some others, and the first parameters."""
        if chosen := choose(show, columns, 0):
            return chosen
        names, states = list(columns), self._widths[2]
        seen = [name for name in dict.fromkeys(self._states_seen()) if name is not None]
        first = list(dict.fromkeys([*seen, *names[:states]]))[:_DEFAULT_STATES]
        return first + names[states : states + _DEFAULT_PARAMETERS]


class _Near:
    """On which state each component of the observations is seen.

    It is the state whose medians are nearest to the observations, in mean square, where they are nearer than the
    observations' own mean is; an observation of another unit is on none.
    """

    def __init__(self, observed: int, states: int) -> None:
        self._squares = np.zeros((observed, states))
        self._count, self._mean, self._spread = np.zeros((3, observed))

    def add(self, y: NDArray[Any], medians: NDArray[Any]) -> None:
        known = np.isfinite(y)
        self._squares[known] += (y[known, None] - medians) ** 2
        self._count += known
        step = np.where(known, y - self._mean, 0.0)
        self._mean += step / np.maximum(self._count, 1)
        self._spread += step * np.where(known, y - self._mean, 0.0)

    def states(self) -> list[int | None]:
        """The place of a state for each component, or None."""
        if not self._squares.shape[1]:
            return [None] * len(self._squares)
        squares = np.where(np.isfinite(self._squares), self._squares, np.inf)
        nearest = squares.argmin(axis=1)
        return [
            int(place) if count >= _ENOUGH and squares[component, place] < spread else None
            for component, (place, count, spread) in enumerate(zip(nearest, self._count, self._spread, strict=True))
        ]
