"""BART on the page: sigma and other numbers of every chain, which columns the trees split, how large trees are.

A difference holds `chains`, `summary` and `failures` whole, `columns` and `leaves` where they changed, and of each
series the values that came. The shares of the columns are series too, as `splits x3`. `warmup` is burn-in, of which
progress tells sigma alone.
"""

import math
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .chains import MOST_NAMES, Chain, Chains, Trace
from .choice import choose

MOVES = ("grow", "prune", "change")
MOST_COLUMNS = 200
"""Columns that are told, the most used."""
MOST_LEAVES = 16
"""Sizes of trees that are told apart; larger ones count as this."""
_EVERY = 1.0
"""Seconds between two countings of the columns, at least."""
_OWN = ("sigma", "leaves a tree", *(f"accepted {move}" for move in MOVES))
_SIGMA = {"sigma": 0}


class Bart:
    """One run of livebart."""

    name: ClassVar[str] = "bart"

    def __init__(self, run: str) -> None:
        self._start: dict[str, Any] = {}
        self._status = "running"
        self._names: dict[str, int] = {}  # number -> column of its series
        self._labels: list[str] = []
        self._chains = Chains(lambda k, traced: _Chain(k, traced, _SIGMA, self._names), self._rows)
        self._failures: deque[dict[str, Any]] = deque(maxlen=20)
        self._elapsed: float | None = None
        self._totals: dict[str, Any] = {"columns": [], "leaves": []}
        self._totals_at, self._totals_of, self._totals_version = -math.inf, 0, 0

    def take(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "bart.draw/1":
            chain = self._chains.get(message["chain"])
            if chain is not None and self._chains.take(chain, chain.draws, message):
                chain.sigma = message["sigma"]
        elif kind == "bart.progress/1":
            self._elapsed = message["elapsed"]
            for each in message["chains"]:
                chain = self._chains.get(each["chain"])
                if chain is not None:
                    chain.progress = each
                    if 0 < each["sweep"] <= message["n_burnin"]:
                        self._chains.take(chain, chain.warmup, {"seq": each["sweep"] - 1, "sigma": each["sigma"]})
        elif kind == "bart.start/1":
            self._start = message
            self._status = "running"
            self._chains.structure += 1
            if not self._names:
                self._lay_out(list(map(str, message["columns"])))
        elif kind == "bart.failure/1":
            self._failures.append({"error": str(message["error"])[:2000], "recovered": bool(message["recovered"])})
            self._status = self._status if message["recovered"] else "failed"
        elif kind == "bart.end/1":
            self._status = str(message["status"])

    def full(self, show: Sequence[str]) -> dict[str, Any]:
        self._chains.take_in()
        shown = self._chosen(show)
        return {
            "model": str(self._start.get("model", "")),
            "settings": self._start.get("settings", {}),
            "names": list(self._names),
            "shown": shown,
            "column_count": len(self._labels),
            **self._chains.full(shown),
            **self._state(shown),
            **self._totals,
        }

    def since(self, mark: Any, show: Sequence[str]) -> dict[str, Any] | None:
        traces, totals = mark
        shown = self._chosen(show)
        came = self._chains.since(traces, shown)
        if came is None:
            return None
        state = self._state(shown)
        return came | state | (self._totals if totals != self._totals_version else {})

    def mark(self) -> Any:
        return self._chains.mark(), self._totals_version

    def _chosen(self, show: Sequence[str]) -> list[str]:
        """The series asked for; else sigma, unless it is a classifier's, which is 1, and the size of trees."""
        names = list(self._names)
        return choose(show, names, 0) or names[self._start.get("model") == "BARTClassifier" : 2]

    def _lay_out(self, labels: list[str]) -> None:
        """Give numbers their columns: our own, then the share of splits of the first columns of the data."""
        self._labels = labels
        for name in (*_OWN, *(f"splits {label}" for label in labels[: MOST_NAMES - len(_OWN)])):
            unique = name if name not in self._names else f"{name} [{len(self._names) - len(_OWN)}]"
            self._names[unique] = len(self._names)
        self._chains.structure += 1

    def _rows(self, chain: "_Chain", trace: Trace, messages: list[dict[str, Any]]) -> NDArray[Any]:
        """The numbers of each draw, which count in the chain's totals too."""
        sigma = np.array([message["sigma"] for message in messages], float)
        if trace is chain.warmup:
            return sigma[:, None]
        splits = np.array([message["splits"] for message in messages], float)
        leaves = np.array([message["leaves"] for message in messages], int)
        proposed, accepted = (np.array([message[key] for message in messages]) for key in ("proposed", "accepted"))
        if not self._names:
            self._lay_out([f"x{place}" for place in range(splits.shape[1])])
        shares = splits / np.maximum(splits.sum(axis=1, keepdims=True), 1)
        chain.count(shares, leaves, proposed, accepted)
        with np.errstate(all="ignore"):  # no move of a kind was proposed
            rates = accepted / proposed
        followed = shares[:, : len(self._names) - len(_OWN)]
        return np.column_stack([sigma, leaves.mean(axis=1), rates, followed])

    def _state(self, shown: list[str]) -> dict[str, Any]:
        over = self._status != "running"
        self._add_up(over)
        return {
            "status": self._status,
            "elapsed": self._elapsed,
            "chains": [self._row(chain) for chain in self._chains],
            "summary": self._chains.summarise(shown, self._names, over),
            "failures": list(self._failures),
        }

    def _add_up(self, over: bool) -> None:
        """Add up what the chains counted, once a second, or `over`."""
        counted = [chain for chain in self._chains if chain.counted]
        draws, now = sum(chain.counted for chain in counted), time.monotonic()
        if draws == self._totals_of or not (over or now >= self._totals_at + _EVERY):
            return
        trees = np.sum([chain.leaves for chain in counted], axis=0)
        self._totals = {"columns": _columns(self._labels, counted), "leaves": (trees / trees.sum()).tolist()[1:]}
        self._totals_at, self._totals_of = now, draws
        self._totals_version += 1

    def _row(self, chain: "_Chain") -> dict[str, Any]:
        settings, progress = self._start.get("settings", {}), chain.progress
        burnin, wanted = (int(settings.get(name, 0)) for name in ("n_burnin", "n_draws"))
        draws, over = chain.draws.next, self._status != "running"
        return {
            "chain": chain.k,
            "phase": "done" if over or (wanted and draws >= wanted) else "sampling" if draws else "warmup",
            "iteration": burnin + draws if draws else int(progress.get("sweep", 0)),
            "total": burnin + wanted,
            "draws": draws,
            "sigma": progress.get("sigma") if chain.sigma is None else chain.sigma,
            "leaves": chain.mean_leaves(),
            "accepted": chain.rates(),
            "lag": None if over else chain.lag(),
        }


class _Chain(Chain):
    """A chain, and what its draws add up to."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.sigma: float | None = None
        self.counted = 0
        """Draws in the totals."""
        self.shares = self.used = np.zeros(0)
        """Of each column, over draws: the sum of its shares of the splits, and the draws that split it at all."""
        self.leaves = np.zeros(MOST_LEAVES + 1, int)
        """Trees of each number of leaves, over draws; the last of that many or more."""
        self.all_leaves = self.trees = 0
        self.moves = np.zeros((2, len(MOVES)), int)
        """Proposed and accepted."""

    def count(self, shares: NDArray[Any], leaves: NDArray[Any], proposed: NDArray[Any], accepted: NDArray[Any]) -> None:
        """Add draws to the totals: (draw, column), (draw, tree), (draw, move) and (draw, move)."""
        if not self.counted:
            self.shares, self.used = np.zeros((2, shares.shape[1]))
        self.counted += len(shares)
        self.shares += shares.sum(axis=0)
        self.used += (shares > 0).sum(axis=0)
        self.leaves += np.bincount(np.minimum(leaves, MOST_LEAVES).ravel(), minlength=MOST_LEAVES + 1)
        self.all_leaves += int(leaves.sum())
        self.trees += leaves.size
        self.moves += np.stack([proposed.sum(axis=0), accepted.sum(axis=0)])

    def mean_leaves(self) -> float | None:
        return self.all_leaves / self.trees if self.trees else None

    def rates(self) -> dict[str, float | None]:
        """Of each move, the share of proposals that were taken."""
        proposed, accepted = self.moves
        return {
            move: float(accepted[place] / proposed[place]) if proposed[place] else None
            for place, move in enumerate(MOVES)
        }


def _columns(labels: list[str], chains: list[_Chain]) -> list[dict[str, Any]]:
    """The most used columns first: their mean share of a draw's splits, over all draws and in the chains with the least
    and the most of it, and the share of draws in which they are split at all."""
    by_chain = np.stack([chain.shares / chain.counted for chain in chains])
    draws = sum(chain.counted for chain in chains)
    share, used = (sum(getattr(chain, what) for chain in chains) / draws for what in ("shares", "used"))
    order = np.argsort(-share, kind="stable")[:MOST_COLUMNS]
    return [
        {
            "name": labels[column],
            "share": float(share[column]),
            "low": float(by_chain[:, column].min()),
            "high": float(by_chain[:, column].max()),
            "used": float(used[column]),
        }
        for column in order.tolist()
    ]
