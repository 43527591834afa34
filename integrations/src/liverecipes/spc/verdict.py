"""The answer in words: what the last message of a run says about the process."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

CHANGED, UNDECIDED = 0.95, 0.1
"""From the first probability on a change is said to have happened, from the second on it is undecided."""


class Verdict(NamedTuple):
    """The answer: one sentence, and what stands behind it."""

    sentence: str
    detail: str


def verdict(end: dict[str, Any], labels: Sequence[str], values: Sequence[float]) -> Verdict:
    """Return the answer of a run; `labels` and `values` are those of the observed points, in order."""
    change = end["change"]
    unfinished = {
        "completed": "",
        "stopped": f"The run was stopped after {end['points']} points. ",
        "failed": "The sampler failed. ",
    }[end["status"]]
    if change is None:
        count = "No observation" if not values else "One observation"
        return Verdict(f"{count}: there is nothing yet to compare.", unfinished + "A change needs at least two.")
    probability = change["probability"]
    if min(values) == max(values):
        return Verdict(
            f"No change: every value is {values[0]:g}.",
            unfinished
            + "Constant data say nothing about the noise; any other value will raise an alarm. "
            + f"The probability of a change is {percent(probability)}.",
        )
    if probability < UNDECIDED:
        return Verdict(
            f"No sign of a change: its probability is {percent(probability)}.",
            f"{unfinished}{len(values)} observations agree with one level and one noise.",
        )
    last_old, first_new = labels[change["mode"] - 1], labels[change["mode"]]
    size = difference(end)
    where = (
        f"between {last_old} and {first_new} with probability {percent(change['probabilities'][change['mode'] - 1])}, "
        f"from {number(size['before'], size['step'])} to {number(size['after'], size['step'])} "
        f"(difference {number(size['median'], size['step'])}, 95% interval "
        f"{number(size['lower'], size['step'])} to {number(size['upper'], size['step'])})"
    )
    detail = (
        f"{unfinished}That there was a change at all has probability {percent(probability)}; if there was one, it came "
        f"after {labels[change['first'] - 1]} and before {labels[change['last']]} with probability "
        f"{percent(float(sum(change['probabilities'][change['first'] - 1 : change['last']])))}."
    )
    if size["lower"] < 0 < size["upper"]:
        detail += (
            " The level itself may not have moved; the noise went "
            f"from {change['before']['noise']:.3g} to {change['after']['noise']:.3g}."
        )
    if probability < CHANGED:
        return Verdict(f"Undecided. If the process changed, it did so {where}.", detail)
    return Verdict(f"The process changed {where}.", detail)


def unmonitored(points: Sequence[dict[str, Any]]) -> str:
    """Return a sentence if no point was held against a prediction, otherwise nothing."""
    seen = sum(point["x"] is not None for point in points)
    if not seen or any(point["score"] is not None for point in points):
        return ""
    return f"Nothing was monitored: phase I, which sets what is normal, took every observation ({seen})."


def converged(nuts: dict[str, Any] | None) -> bool:
    """Tell whether the draws may speak: every R-hat at most 1.01 and at least 400 effective draws."""
    return nuts is not None and all(
        nuts[name]["r_hat"] <= 1.01 and nuts[name]["ess_bulk"] >= 400 for name in ("before", "after", "difference")
    )


def difference(end: dict[str, Any]) -> dict[str, float]:
    """Return the medians of the levels and of their difference: from NUTS where it converged, otherwise the exact ones.

    `step` is the unit of the last digit worth showing.
    """
    nuts = end["nuts"]
    source = nuts if converged(nuts) else end["change"]
    found = {name: source["difference"][name] for name in ("median", "lower", "upper")}
    step = (found["upper"] - found["lower"]) / 100
    return found | {"before": source["before"]["median"], "after": source["after"]["median"], "step": step}


def percent(probability: float) -> str:
    """Return a probability as people read it: never 0% and never 100%."""
    if probability < 0.0001:
        return "less than 0.01%"
    if probability > 0.9999:
        return "more than 99.99%"
    digits = 0 if 0.1 <= probability <= 0.9 else 2 if probability < 0.01 or probability > 0.99 else 1
    return f"{100 * probability:.{digits}f}%"


def number(value: float, step: float) -> str:
    """Return the value with digits down to about `step`."""
    if step <= 0 or abs(value) >= 1e7 or (value != 0 and abs(value) < 1e-4):
        digits = math.log10(abs(value) / step) + 2 if step > 0 and value != 0 else 4
        return f"{value:.{int(min(15, max(4, digits)))}g}"
    decimals = 0
    while decimals < 6 and 10.0**-decimals > 1.5 * step:
        decimals += 1
    return f"{value:.{decimals}f}"
