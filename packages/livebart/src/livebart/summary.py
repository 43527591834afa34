"""What a fit says of itself: convergence, acceptance, sizes of trees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from livebart.diagnostics import effective_sample_size, r_hat

MOVES = ("grow", "prune", "change")
_LARGEST_R_HAT = 1.05
_SMALLEST_SIZE = 100


@dataclass(frozen=True)
class Quantity:
    """The posterior of one number, and how well its chains agree."""

    mean: float
    sd: float
    q5: float
    q95: float
    ess: float
    """Bulk effective sample size."""
    r_hat: float
    """Rank-normalised and split."""


@dataclass(frozen=True)
class Summary(Mapping[str, Quantity]):
    """A mapping of `sigma` and `f[row]` to their posteriors, and the sampler's own figures. It prints as a table."""

    quantities: dict[str, Quantity]
    acceptance: dict[str, float]
    """Of each move: the share of proposals that were taken."""
    leaves: dict[int, float]
    """The share of trees with that many leaves."""
    num_chains: int
    num_draws: int
    """A chain."""

    def __getitem__(self, name: str) -> Quantity:
        return self.quantities[name]

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self.quantities)

    def __len__(self) -> int:
        return len(self.quantities)

    @property
    def trouble(self) -> list[str]:
        """The quantities whose chains disagree, or whose draws tell little."""
        return [
            name
            for name, found in self.quantities.items()
            if not found.r_hat < _LARGEST_R_HAT or found.ess < min(_SMALLEST_SIZE, self.num_chains * self.num_draws)
        ]

    @property
    def converged(self) -> bool:
        """Whether every R-hat is below 1.05 and every effective sample size at least 100."""
        return not self.trouble

    @property
    def advice(self) -> str:
        """What to do where it did not converge."""
        worst = max((self.quantities[name].r_hat for name in self.trouble), default=1.0)
        return (
            f"{len(self.trouble)} of {len(self)} quantities have not converged (largest R-hat {worst:.3f}): raise "
            "n_burnin, then n_draws (warm_start=True goes on from here); with few rows and strong signals, more chains"
        )

    def __str__(self) -> str:
        names = ("mean", "sd", "q5", "q95", "ess", "r_hat")
        width = max(map(len, self.quantities), default=0)
        lines = [" " * width + "".join(f"{name:>10}" for name in names)]
        for name, found in self.quantities.items():
            numbers = "".join(f"{getattr(found, part):>10.4g}" for part in names)
            lines.append(f"{name:<{width}}{numbers}")
        moves = ", ".join(f"{move} {share:.1%}" for move, share in self.acceptance.items())
        sizes = ", ".join(f"{number}: {share:.1%}" for number, share in self.leaves.items())
        lines += [
            "",
            f"{self.num_chains} chains of {self.num_draws} draws",
            f"accepted: {moves}",
            f"leaves a tree: {sizes}",
        ]
        if not self.converged:
            lines.append(f"not converged: {self.advice}")
        return "\n".join(lines)


def summarize(sigma: np.ndarray | None, f: Mapping[int, np.ndarray], moves: np.ndarray, leaves: np.ndarray) -> Summary:
    """The summary of draws (chain, draw) of sigma and of f at some rows, of moves (..., 2, 3) and of leaves."""
    tracked = {} if sigma is None else {"sigma": sigma}
    tracked |= {f"f[{row}]": draws for row, draws in f.items()}
    quantities = {}
    for name, draws in tracked.items():
        low, high = np.quantile(draws, [0.05, 0.95])
        quantities[name] = Quantity(
            mean=float(draws.mean()),
            sd=float(draws.std()),
            q5=float(low),
            q95=float(high),
            ess=effective_sample_size(draws),
            r_hat=r_hat(draws),
        )
    proposed, accepted = moves.reshape(-1, 2, 3).sum(axis=0)
    counts = np.bincount(leaves.ravel())
    chains, draws_a_chain = next(iter(tracked.values())).shape
    return Summary(
        quantities=quantities,
        acceptance={move: float(accepted[k] / max(proposed[k], 1)) for k, move in enumerate(MOVES)},
        leaves={int(number): float(counts[number] / counts.sum()) for number in np.flatnonzero(counts)},
        num_chains=chains,
        num_draws=draws_a_chain,
    )
