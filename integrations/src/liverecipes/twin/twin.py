"""The twin: hears events, learns the machines, tracks them as they drift, and says what the next shift will bring."""

import hashlib
import math
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import stats

from .events import Events
from .forecast import Outlook, outlook
from .line import Line, Machine, model
from .track import Belief, Tracker
from .watch import Shift, Watcher

Floats = NDArray[np.float64]
CHANGED = 0.1
"""A parameter has changed where it is by this part above or below what the history said ..."""
SURE = 0.95
"""... with this probability."""
KEPT = "twin"


@dataclass(frozen=True)
class Settings:
    """Everything that decides the answer, besides the events and the seed."""

    history: int = 8
    """Shifts from which NUTS learns the machines, before tracking begins."""
    n_theta: int = 100
    n_x: int = 100
    """Particles of each tracker: of its parameters, and of its level for each."""
    draws: int = 100
    """Draws of the parameters in each outlook ..."""
    repeats: int = 4
    """... and futures for each of them."""
    frozen: bool = False
    """Never learn after the history: the twin that most factories have."""

    def __post_init__(self) -> None:
        for name, least in (("history", 1), ("n_theta", 10), ("n_x", 10), ("draws", 10), ("repeats", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: must be at least {least}, got {getattr(self, name)}")


class Twin:
    """One shop's twin. `take` the events in their order: a message for each shift comes out.

    names, units: the machines. shift: its minutes. checkpoint: a mapping of bytes where `keep` puts the trackers; a
    twin made anew with it hears the same events again and goes on from there, to the same bits.
    """

    def __init__(
        self,
        names: Sequence[str],
        units: Sequence[int],
        shift: float,
        seed: int,
        settings: Settings | None = None,
        *,
        nuts_sink: Callable[[dict[str, Any]], object] | None = None,
        checkpoint: MutableMapping[str, bytes] | None = None,
    ) -> None:
        self.names = list(names)
        self.seed = seed
        self.settings = settings or Settings()
        self.watcher = Watcher(self.names, list(units), shift)
        # The machines' numbers are the twin's to find: every run gives them, and these ones are never used.
        self.line = Line(tuple(Machine(n, 1.0, units=u) for n, u in zip(names, units, strict=True)), 1.0, shift)
        self.shop = model(self.line)
        self.history: list[Shift] = []
        self.beliefs: dict[str, Belief] = {}
        self.trackers: dict[str, Tracker] = {}
        self.next: dict[str, Outlook] = {}
        """What the shift to come will bring, by KPI."""
        self._nuts_sink = nuts_sink
        self._checkpoint = checkpoint
        asked = [self.names, list(units), shift, seed, asdict(self.settings)]
        self.digest = hashlib.sha256(msgspec.json.encode(asked)).hexdigest()
        self._kept = self._find()

    def take(self, events: Events) -> Iterator[dict[str, Any]]:
        """Follow a batch of events. `twin.shift/1` for each shift that ends with it, but for those said before."""
        for shift in self.watcher.take(events):
            number, last = shift.shift, self.settings.history - 1
            if number <= last:
                self.history.append(shift)
            if self._kept is not None and number <= self._kept["shift"]:
                if number == self._kept["shift"]:
                    self._go_on(self._kept)
                continue
            expected = self.next
            if number == last:
                self._learn()
            elif number > last and not self.settings.frozen:
                for name, tracker in self.trackers.items():
                    tracker.learn(shift.lessons[name])
            if number >= last:
                self.next = self._look(number + 1)
            yield self._message(shift, expected)

    def parameters(self, shift: int, draws: int | None = None) -> dict[str, Floats]:
        """Draws (draw,) of every parameter in a shift to come: the trackers', independent of each other."""
        draws = draws or self.settings.draws
        found: dict[str, Floats] = {}
        for index, (name, tracker) in enumerate(self.trackers.items()):
            # Forecasts come in the particles' order; shuffled apart, parameters are independent, as believed.
            order = np.random.default_rng([self.seed, shift, index]).permutation(draws)
            means, shapes = tracker.next(draws)
            found[name] = means[order]
            if shapes is not None:
                found[name.replace(".service", ".shape")] = shapes[order]
        return found

    def _learn(self) -> None:
        from .history import learn  # imports JAX

        self.beliefs = learn(self.history, self.names, self.seed, sink=self._nuts_sink)
        self.trackers = {name: self._tracker(name) for name in self.beliefs}

    def _tracker(self, name: str) -> Tracker:
        index = list(self.beliefs).index(name)
        seed = int(np.random.SeedSequence([self.seed, index]).generate_state(1)[0])
        return Tracker(self.beliefs[name], seed, n_theta=self.settings.n_theta, n_x=self.settings.n_x)

    def _look(self, shift: int) -> dict[str, Outlook]:
        parameters = self.parameters(shift)
        # What is left is drawn by rejection: work so far that hardly any job reaches says nothing more of it.
        longest = {}
        for name in self.names:
            shapes = parameters[f"{name}.shape"]
            scales = parameters[f"{name}.service"] / shapes
            longest[name] = float(stats.gamma.isf(1e-4, shapes, scale=scales).min())
        now = self.watcher.present(self.shop, longest)
        seed = int(np.random.SeedSequence([self.seed, 1 << 20, shift]).generate_state(1)[0])
        return outlook(self.shop, now, parameters, self.line.shift, seed, self.settings.repeats)

    def changed(self) -> list[dict[str, Any]]:
        """The parameters that are surely not what the history said any more."""
        found = []
        for name, tracker in self.trackers.items():
            level, weights = tracker.level()
            change = level - self.beliefs[name].level[0]
            for sure in (weights[change > math.log1p(CHANGED)].sum(), weights[change < -math.log1p(CHANGED)].sum()):
                if sure > SURE:
                    factor = math.exp(float(weights @ change))
                    found.append({"parameter": name, "factor": factor, "probability": float(sure)})
        return found

    def _message(self, shift: Shift, expected: dict[str, Outlook]) -> dict[str, Any]:
        return {
            "type": "twin.shift/1",
            "part": "shifts",
            "seq": shift.shift,
            "shift": shift.shift,
            "kpis": shift.kpis,
            "expected": {kpi: found.content() for kpi, found in expected.items()},
            "pit": {kpi: found.pit(shift.kpis[kpi]) for kpi, found in expected.items()},
            "parameters": {name: tracker.quantiles() for name, tracker in self.trackers.items()},
            "changed": self.changed(),
            "next": {kpi: found.content() for kpi, found in self.next.items()},
        }

    # -- keeping -------------------------------------------------------------------------------------------------------

    def keep(self) -> None:
        """Put what was learned into the checkpoint; call it when the messages so far are safe."""
        if self._checkpoint is None or not self.trackers:
            return
        state = {
            "digest": self.digest,
            "shift": self.watcher.shift - 1,
            "beliefs": {name: asdict(belief) for name, belief in self.beliefs.items()},
            "trackers": {name: tracker.saved() for name, tracker in self.trackers.items()},
        }
        self._checkpoint[KEPT] = msgspec.msgpack.encode(state)

    def _find(self) -> dict[str, Any] | None:
        if self._checkpoint is None or KEPT not in self._checkpoint:
            return None
        try:
            state: dict[str, Any] = msgspec.msgpack.decode(self._checkpoint[KEPT])
            digest = state["digest"]
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            raise ValueError(f"checkpoint: it is not that of a twin, or is damaged ({error})") from None
        if digest != self.digest:
            raise ValueError("checkpoint: it is that of another shop, seed or settings; give another run or folder")
        return state

    def _go_on(self, state: dict[str, Any]) -> None:
        self.beliefs = msgspec.convert(state["beliefs"], dict[str, Belief])
        for name, saved in state["trackers"].items():
            self.trackers[name] = self._tracker(name)
            self.trackers[name].load(saved)
        self.next = self._look(state["shift"] + 1)
