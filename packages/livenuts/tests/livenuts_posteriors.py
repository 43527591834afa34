"""Long references of the seven models, and draws compared with them in Monte Carlo standard errors."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import livenuts as ln
import numpy as np
from arviz_stats.base import array_stats
from livenuts import dist, ref
from livenuts_checks import effective_sample_size
from livenuts_models import DATA, MODELS

REFERENCES = Path(__file__).parent / "reference"
QUANTILES = {"q5": 0.05, "q95": 0.95}
LIMIT = 4.0
Z = dict[tuple[str, str], float]


def reference(name: str) -> dict[str, dict[str, list[float]]]:
    """[value, standard error] of mean, sd, q5 and q95 of every scalar (see reference/make_references.py)."""
    found: dict[str, dict[str, list[float]]] = json.loads((REFERENCES / f"{name}.json").read_text())["quantities"]
    return found


def schools_twin() -> ln.Model:
    """Eight schools, not centred: the posterior of the centred model."""
    twin = ln.Model("schools twin").data("errors", DATA["errors"]).rv("mu", dist.Normal(0, 5))
    twin.rv("tau", dist.HalfNormal(5)).rv("z", dist.Normal(0, 1), shape=8)
    twin.det("theta", ref("mu") + ref("tau") * ref("z"))
    return twin.obs("y", dist.Normal("theta", "errors"), DATA["effects"])


def funnel_twin() -> ln.Model:
    """The funnel, not centred: ten independent normals."""
    twin = ln.Model("funnel twin").rv("y", dist.Normal(0, 3)).rv("z", dist.Normal(0, 1), shape=9)
    return twin.det("x", ln.exp(ref("y") / 2) * ref("z"))


def model(name: str) -> ln.Model:
    """The model whose draws are compared: centred schools and funnel give way to their twins."""
    twins = {"schools": schools_twin, "funnel": funnel_twin}
    return twins[name]() if name in twins else MODELS[name]().builder


def scalars(result: ln.Result, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Draws of each named scalar, (chain, draw)."""
    found = {}
    for name in names:
        variable, _, index = name.rstrip("]").partition("[")
        draws = result.draws[variable]
        found[name] = draws[..., int(index)] if index else draws
    return found


def estimates(draws: np.ndarray) -> dict[str, tuple[float, float]]:
    """(value, standard error) of mean, sd, q5 and q95, for (chain, draw) values.

    ArviZ 1.3's error of the sd takes the effective size of the draws for that of their squares: half of the truth
    for NUTS, whose draws are antithetic.
    """
    mean, sd = float(draws.mean()), float(draws.std(ddof=1))
    squares = (draws - mean) ** 2
    found = {
        "mean": (mean, sd / np.sqrt(effective_sample_size(draws))),
        "sd": (sd, float(squares.std()) / np.sqrt(effective_sample_size(squares)) / (2 * sd)),
    }
    for name, p in QUANTILES.items():
        error = array_stats.mcse(draws, chain_axis=0, draw_axis=1, method="quantile", prob=p)
        found[name] = (float(np.quantile(draws, p)), float(error))
    return found


def z_scores(found: dict[str, np.ndarray], expected: dict[str, dict[str, list[float]]]) -> Z:
    """(ours - reference) / standard error of the difference, for every scalar and quantity.

    Of the funnel's x the sd is left out: its estimate has a relative error of 150 / sqrt(draws), all of it from the
    rarest draws.
    """
    scores = {}
    for name, draws in found.items():
        for quantity, (value, error) in estimates(draws).items():
            exact, own = expected[name][quantity]
            if not (name.startswith("x[") and quantity == "sd"):
                scores[name, quantity] = float((value - exact) / np.hypot(error, own))
    return scores


def least_ess(found: dict[str, np.ndarray]) -> float:
    return min(float(array_stats.ess(draws, chain_axis=0, draw_axis=1, method="bulk")) for draws in found.values())


def beyond(scores: Z) -> set[tuple[str, str]]:
    """More than 4 standard errors away; NaN is."""
    return {key for key, score in scores.items() if not abs(score) <= LIMIT}


def confirmed(score: Callable[[int], Z]) -> dict[tuple[str, str], float]:
    """What is beyond 4 standard errors in two independent runs, `score(0)` and `score(1)`.

    One comparison is beyond with probability 6.3e-5, twice with 4e-9: so 4 standard errors remain the limit, and
    thousands of comparisons remain quiet. The second run is made only when the first asks for it.
    """
    first = beyond(score(0))
    if not first:
        return {}
    again = score(1)
    return {key: again[key] for key in first & beyond(again)}
