"""The report of a run: one HTML file with everything inside, made from the run's messages alone."""

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np
from scipy.stats import norm

from ..html import PAGE, STYLE, table
from ..svg import Plot, nice_ticks, spaced
from .chart import frame
from .conjugate import FloatArray
from .verdict import UNDECIDED, converged, percent, unmonitored, verdict

Message = dict[str, Any]
MOST_POINTS = 2000
MOST_COLUMNS, MOST_ROWS = 300, 60


def report(run: str, messages: Iterable[Message], nuts_messages: Iterable[Message], command: str) -> str:
    """Return the HTML report of the run, made by the given command line.

    Raises ValueError where the run's first or last message is missing.
    """
    start = end = None
    points: list[Message] = []
    for message in messages:
        if message["type"] == "spc.start/1":
            start = message
        elif message["type"] == "spc.end/1":
            end = message
        elif message["type"] == "spc.point/1":
            points.append(message)
    if start is None or end is None:
        raise ValueError(
            f"run {run!r}: no {'spc.start/1' if start is None else 'spc.end/1'} message: nothing to report"
        )
    points.sort(key=lambda point: int(point["seq"]))
    observed = [point for point in points if point["x"] is not None]
    labels = [point["label"] for point in observed]
    answer = verdict(end, labels, [point["x"] for point in observed])
    sections = [_facts(start, end, labels)]
    if points:
        sections += [_chart(start, points), _run_lengths(start, points)]
    if end["change"] is not None and len({point["x"] for point in observed}) > 1:
        sections += [_change_time(end, labels), _levels(start, end, nuts_messages)]
    sections += [_alarms(start, points), _about(run, start, end, command)]
    return PAGE.format(
        title=escape(f"{start['data']['name']}: process control"),
        style=STYLE,
        source=escape(start["data"]["source"]),
        headline=escape(answer.sentence),
        detail=escape(f"{answer.detail} {unmonitored(points)}".strip()),
        sections="\n".join(sections),
    )


def _facts(start: Message, end: Message, labels: Sequence[str]) -> str:
    change = end["change"]
    facts = [("observations", str(end["observed"])), ("missing", str(end["points"] - end["observed"]))]
    if change is not None:
        facts += [
            ("a change at all", percent(change["probability"])),
            ("log Bayes factor", f"{change['log_bayes_factor']:.2f}"),
        ]
        if change["probability"] >= UNDECIDED:
            facts.append(("last old point", labels[change["mode"] - 1]))
    facts.append(("alarms", str(end["alarms"])))
    cells = "".join(f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for name, value in facts)
    return f'<section class="facts">{cells}</section>'


def _chart(start: Message, points: list[Message]) -> str:
    settings = start["settings"]
    step = math.ceil(len(points) / MOST_POINTS)
    shown = [point for point in points if point["seq"] % step == 0 or point["alarms"]]
    values = [point["x"] for point in points if point["x"] is not None]
    bottom, top = frame(values, (point["lower"] for point in points), (point["upper"] for point in points), 0.08)
    plot = Plot("observations, limits and alarms", (-1, len(points)), (bottom, top), 340)
    plot.y_ticks()
    plot.band(((p["seq"], p["lower"], p["upper"]) for p in shown), "band")
    for side in ("lower", "upper"):
        inside = ((p["seq"], p[side] if p[side] is not None and bottom < p[side] < top else None) for p in shown)
        plot.line(inside, "limit")
    plot.line(((p["seq"], p["center"]) for p in shown), "center")
    plot.line(((p["seq"], p["x"]) for p in shown), "series")
    for point in points:
        for alarm in point["alarms"]:
            if alarm["rule"] != "limits":
                plot.line([(point["seq"], bottom), (point["seq"], top)], "alarm-line")
    for point in shown:
        if point["x"] is not None:
            outside = any(alarm["rule"] == "limits" for alarm in point["alarms"])
            kind = "dot out" if outside else "dot" if point["phase"] == 2 else "dot learning"
            plot.dot(point["seq"], point["x"], 5 if outside else 2.6, kind, f"{point['label']}: {point['x']:g}")
    plot.x_ticks(spaced([point["label"] for point in points]))
    recent = Plot("probability of a recent change", (-1, len(points)), (0, 1), 130)
    recent.y_ticks([0, 0.5, 1])
    recent.area([(0, 0), *((p["seq"], p["recent"]) for p in shown), (len(points) - 1, 0)], "recent")
    recent.line([(-1, settings["threshold"]), (len(points), settings["threshold"])], "limit")
    recent.x_ticks(spaced([point["label"] for point in points]))
    learning = sum(point["phase"] == 1 for point in points)
    hollow = f" Hollow points, the first {learning}, set the prior and are not monitored." if learning else ""
    thinned = f" Every {step}th point is drawn, and all alarms." if step > 1 else ""
    return (
        f"<section><h2>The chart</h2><p>Each point beside what was predicted before it came: the band holds an "
        f"in-control point as often as ±{settings['k']:g} sigma holds a normal one. Red points are outside; red lines "
        f"are alarms of the changepoint detector, after which the band belongs to the new level.{hollow}{thinned}</p>"
        f"{plot.render()}<p>P(a change within the last {settings['window']} points); an alarm above "
        f"{settings['threshold']:g}.</p>"
        f"{recent.render()}</section>"
    )


def _run_lengths(start: Message, points: list[Message]) -> str:
    step = math.ceil(len(points) / MOST_COLUMNS)
    columns = points[::step]
    longest = max(int(point["lengths"].max()) for point in columns)
    row = math.ceil((longest + 1) / MOST_ROWS)
    plot = Plot("posterior of the run length over time", (-1, len(points)), (0, longest + 1), 280)
    for point in columns:
        mass: dict[int, float] = {}
        for length, probability in zip(point["lengths"], point["probabilities"], strict=True):
            mass[int(length) // row] = mass.get(int(length) // row, 0.0) + float(probability)
        for at, probability in mass.items():
            if probability >= 0.005:
                across = (point["seq"] - step / 2, point["seq"] + step / 2)
                plot.box(across, (at * row, (at + 1) * row), "heat", max(0.05, math.sqrt(probability)))
    plot.line(((point["seq"], point["run_length"] + 0.5) for point in columns), "center")
    plot.y_ticks(tick for tick in nice_ticks(0, longest + 1) if tick == int(tick))
    plot.x_ticks(spaced([point["label"] for point in points]))
    return (
        "<section><h2>How long since the last change?</h2><p>The darker, the more probable is that run length; the "
        "line follows the most probable one. It grows by one a point, and falls when a change is found. Prior "
        f"probability of a change after any point: {start['settings']['hazard']:g}.</p>{plot.render()}</section>"
    )


def _change_time(end: Message, labels: Sequence[str]) -> str:
    change, nuts = end["change"], end["nuts"]
    exact: FloatArray = np.asarray(change["probabilities"])
    likely = np.flatnonzero(exact >= 0.002 * exact.max())
    first, last = max(0, int(likely[0]) - 2), min(len(exact) - 1, int(likely[-1]) + 2)
    size = math.ceil((last - first + 1) / MOST_COLUMNS)
    starts = range(first, last + 1, size)
    bars = [float(exact[at : min(at + size, last + 1)].sum()) for at in starts]
    plot = Plot("posterior of the change time", (first - 0.7, last + 0.7 + size - 1), (0, 1.12 * max(bars)), 260)
    plot.y_ticks()
    for at, bar in zip(starts, bars, strict=True):
        plot.box((at - 0.4, at + size - 0.6), (0, bar), "bar", title=f"after {labels[at]}: {bar:.4f}")
        if nuts is not None:
            sampled = float(np.sum(nuts["probabilities"][at : min(at + size, last + 1)]))
            plot.dot(at + (size - 1) / 2, sampled, 3.5, "sampled", f"NUTS, after {labels[at]}: {sampled:.4f}")
    plot.x_ticks((first + at, label) for at, label in spaced(labels[first : last + 1]))
    best = np.argsort(-exact, kind="stable")[:5]
    rows = [
        [labels[at], f"{exact[at]:.4f}"] + ([] if nuts is None else [f"{nuts['probabilities'][at]:.4f}"]) for at in best
    ]
    heads = ["last old point", "exact"] + ["NUTS"] * (nuts is not None)
    dots = " The dots are what NUTS found." if nuts is not None else ""
    title = "When did it change?" if change["probability"] >= UNDECIDED else "Had it changed, when?"
    return (
        f"<section><h2>{title}</h2><p>If there was one change: the probability that each point was the last "
        f"of the old level, in closed form.{dots}</p>{plot.render()}"
        f"{table(heads, rows)}</section>"
    )


def _levels(start: Message, end: Message, nuts_messages: Iterable[Message]) -> str:
    change, nuts = end["change"], end["nuts"]
    parts = [
        "<section><h2>From what to what?</h2>",
        "<p>If there was one change: the level before and the level after it, over every time at which it may have ",
        "come. The table has means of the levels, the headline medians.</p>",
    ]
    if nuts is not None:
        parts.append(_level_plot(end, nuts_messages))
    names = {"before": "level before", "after": "level after", "difference": "difference"}
    rows = []
    for name, title in names.items():
        exact = change[name]
        row = [title, f"{exact['mean']:.6g} ± {exact['sd']:.3g}"]
        if nuts is not None:
            row += [f"{nuts[name]['mean']:.6g} ± {nuts[name]['sd']:.3g}"]
            row += [f"{nuts[name]['lower']:.6g} to {nuts[name]['upper']:.6g}"]
        rows.append(row)
    rows.append(["noise before", f"{change['before']['noise']:.4g}"] + ["", ""] * (nuts is not None))
    rows.append(["noise after", f"{change['after']['noise']:.4g}"] + ["", ""] * (nuts is not None))
    heads = ["", "exact, ± sd"] + ["NUTS, ± sd", "95% interval"] * (nuts is not None)
    parts.append(table(heads, rows))
    if nuts is None:
        why = "NUTS was not asked for" if start["nuts"] is None else "NUTS did not run to its end"
        parts.append(f"<p>{why}; the numbers are those of the exact posterior.</p></section>")
        return "".join(parts)
    parts.append("<h3>Can the draws be trusted?</h3>")
    exact_values = {name: change[name]["mean"] for name in names}
    exact_values["mode_probability"] = float(change["probabilities"][nuts["mode"] - 1])
    rows = []
    for name, title in {**names, "mode_probability": "P(most probable time)"}.items():
        found = nuts[name]
        # Fewer than one part in 10^9 apart is equality: constant data have no Monte Carlo error to divide by.
        gap = found["mean"] - exact_values[name]
        off = 0.0 if abs(gap) <= 1e-9 * abs(exact_values[name]) else gap / found["mcse"] if found["mcse"] else math.inf
        rows.append(
            [
                title,
                f"{found['ess_bulk']:.0f}",
                f"{found['ess_tail']:.0f}",
                "–" if math.isnan(found["r_hat"]) else f"{found['r_hat']:.3f}",
                f"{found['mcse']:.2g}",
                f"{off:+.1f}",
            ]
        )
    parts.append(table(["", "ESS bulk", "ESS tail", "R-hat", "MCSE", "MCSEs from exact"], rows))
    if converged(nuts):
        words = "The chains agree with one another"
        words += "" if not nuts["divergences"] else f", but {nuts['divergences']} transitions diverged"
    else:
        words = (
            "<b>The chains do not agree well enough</b>: with little sign of one change the posterior has separate "
            "modes, which NUTS visits out of proportion. The headline uses the exact posterior; mistrust NUTS here"
        )
    parts.append(
        f"<p>{words}. {nuts['chains']} chains of {nuts['draws']} draws, {nuts['divergences']} divergences. The last "
        "column says how far the mean is from the exact answer, in its own Monte Carlo standard errors: within about "
        "±3 is as it should be.</p></section>"
    )
    return "".join(parts)


def _level_plot(end: Message, nuts_messages: Iterable[Message]) -> str:
    """Draw histograms of the levels, from every draw that went over the queue."""
    prior = end["prior"]
    scale = math.sqrt(prior["b"] / prior["a"])
    draws = [message["values"]["level"] for message in nuts_messages if message["type"] == "nuts.draw/1"]
    if len(draws) < 20:
        return ""
    levels = prior["m"] + scale * np.asarray(draws, dtype=float)
    low, high = np.quantile(levels, [0.002, 0.998])
    if not low < high:
        return ""
    edges = np.linspace(low, high, 81)
    counts = [np.histogram(levels[:, side], edges)[0] / len(levels) for side in (0, 1)]
    plot = Plot("posterior of the levels", (float(low), float(high)), (0, 1.15 * float(np.max(counts))), 230)
    for side, style in enumerate(("before", "after")):
        outline = [(float(edges[0]), 0.0)]
        for left, right, count in zip(edges, edges[1:], counts[side], strict=False):
            outline += [(float(left), float(count)), (float(right), float(count))]
        plot.area([*outline, (float(edges[-1]), 0.0)], style)
    plot.legend([("before", "before"), ("after", "after")])
    plot.x_ticks((value, f"{value:.6g}") for value in nice_ticks(float(low), float(high), 7))
    return plot.render()


def _alarms(start: Message, points: list[Message]) -> str:
    monitored = sum(point["score"] is not None for point in points)
    k = start["settings"]["k"]
    chance = 2 * float(norm.sf(k)) * monitored
    note = (
        f"<p>In control, about {chance:.2g} of the {monitored} monitored points would be outside limits of ±{k:g} "
        "sigma by chance.</p>"
    )
    note = f"<p>{escape(unmonitored(points))}</p>" if unmonitored(points) else note
    rows = [(point["label"], alarm["rule"], alarm["text"]) for point in points for alarm in point["alarms"]]
    body = table(("at", "rule", "what it says"), rows[:200]) if rows else "<p>None.</p>"
    more = f"<p>And {len(rows) - 200} more.</p>" if len(rows) > 200 else ""
    return f"<section><h2>Alarms</h2>{note}{body}{more}</section>"


def _about(run: str, start: Message, end: Message, command: str) -> str:
    given = start["settings"]["prior"] is not None
    settings = {name: value for name, value in start["settings"].items() if name != "prior"}
    if given:
        del settings["phase_one"]
    rows = [("run", run), ("seed", str(start["seed"])), ("status", end["status"])]
    rows += [(name.replace("_", " "), str(value)) for name, value in settings.items()]
    if end["prior"] is not None:
        text = ", ".join(f"{name} {value:.6g}" for name, value in end["prior"].items())
        rows.append(("prior of a segment", f"Normal-inverse-gamma: {text} ({'given' if given else 'from phase one'})"))
    rows += [(f"version of {name}", version) for name, version in start["versions"].items()]
    rows.append(("digest of data and settings", start["digest"][:16]))
    return (
        "<section><h2>How it was made</h2><p>The probability of a change compares the model of one change, at any time "
        f"alike, with that of none, from a prior probability of {start['settings']['prior_change']:g}; it depends on "
        "the segment prior. More than one change is for the detector above to find. The same data, settings and seed "
        "give the same messages to the bit:</p>"
        f"<pre>{escape(command)}</pre>{table(('', ''), rows)}</section>"
    )
