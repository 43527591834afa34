"""The report of a twin: one HTML file with everything inside, made from the run's messages alone."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np

from ..html import PAGE, STYLE, table
from ..svg import Plot, spaced
from .watch import KPIS

Message = dict[str, Any]
TITLES = {
    "throughput": "Jobs done in a shift",
    "lead": "Lead time: mean minutes in the shop, of jobs done in the shift",
    "wip": "Jobs in the shop at the shift's end",
}
QUANTITIES = {"service": "mean service", "up": "mean time between failures", "down": "mean repair"}


def headline(end: Message) -> str:
    """The answer in a sentence or two."""
    changed = end["changed"]
    if changed:
        parts = [f"{_words(each['parameter'])} is {each['factor']:.2f} times what it was" for each in changed]
        text = "; ".join(parts) + "."
        text = text[0].upper() + text[1:]
    else:
        text = "No machine changed by more than a tenth for sure."
    advice = end["advice"]
    if advice is not None:
        low, mean, high = advice["saved"]
        text += (
            f" One more {advice['machine']} would save {mean:.0f} minutes a job over the next {advice['shifts']} shifts"
            f" ({low:.0f} to {high:.0f}), of {advice['now']:.0f}."
        )
    return text


def _words(parameter: str) -> str:
    machine, _, quantity = parameter.rpartition(".")
    return "the time between jobs" if not machine else f"{machine}'s {QUANTITIES.get(quantity, quantity)}"


def report(run: str, messages: Iterable[Message], command: str) -> str:
    """Return the HTML report of the run, made by the given command line.

    Raises ValueError where the run's first or last message is missing.
    """
    by_type: dict[str, list[Message]] = {}
    for message in messages:
        by_type.setdefault(message["type"], []).append(message)
    for name in ("twin.start/1", "twin.end/1"):
        if name not in by_type:
            raise ValueError(f"run {run!r}: no {name} message: nothing to report")
    start, end = by_type["twin.start/1"][0], by_type["twin.end/1"][0]
    shifts = sorted(by_type.get("twin.shift/1", []), key=lambda shift: int(shift["seq"]))
    sections = [_kpi(kpi, shifts) for kpi in KPIS]
    sections += [_calibration(shifts), _parameters(shifts)]
    if end["advice"] is not None:
        sections += [_investment(end["advice"]), _drivers(end["advice"]["drivers"])]
    sections.append(_about(run, start, end, command))
    return PAGE.format(
        title="factory twin",
        style=STYLE,
        source=escape(f"{len(start['machines'])} machines, {len(shifts)} shifts of {start['shift']:g} minutes"),
        headline=escape(headline(end)),
        detail="What the twin said before each shift, what came, and what it would do now.",
        sections="\n".join(section for section in sections if section),
    )


def covered(shift: Message, kpi: str) -> bool:
    """Whether what came lay within the 90 % interval expected before."""
    low, *_, high = shift["expected"][kpi]["quantiles"]
    return bool(low <= shift["kpis"][kpi] <= high)


def _labels(shifts: Sequence[Message]) -> list[str]:
    return [str(shift["shift"] + 1) for shift in shifts]


def _kpi(kpi: str, shifts: Sequence[Message]) -> str:
    expected = [shift["expected"].get(kpi) for shift in shifts]
    values = [shift["kpis"][kpi] for shift in shifts]
    seen = [value for value in values if value == value]
    seen += [value for each in expected if each for value in (each["quantiles"][0], each["quantiles"][-1])]
    if not seen:
        return ""
    low, high = min(seen), max(seen)
    margin = 0.06 * (high - low) or 1.0
    plot = Plot(TITLES[kpi], (-1, len(shifts)), (low - margin, high + margin), 230)
    plot.y_ticks()
    for inner, outer in ((0, 4), (1, 3)):
        plot.band(
            (
                (k, each["quantiles"][inner], each["quantiles"][outer]) if each else (k, None, None)
                for k, each in enumerate(expected)
            ),
            "band",
        )
    plot.line(((k, each["quantiles"][2] if each else None) for k, each in enumerate(expected)), "center")
    for k, (value, each) in enumerate(zip(values, expected, strict=True)):
        if value == value:
            out = each is not None and not covered(shifts[k], kpi)
            style = "dot out" if out else "dot" if each else "dot learning"
            plot.dot(k, value, 4, style, f"shift {k + 1}: {value:g}")
    plot.x_ticks(spaced(_labels(shifts)))
    last = shifts[-1]["next"].get(kpi)
    words = ""
    if last is not None:
        q = last["quantiles"]
        words = (
            f"The next shift: {q[2]:.0f}, nine times in ten {q[0]:.0f} to {q[-1]:.0f}. Of its spread "
            f"±{last['epistemic']:.1f} is not knowing the machines, ±{last['aleatoric']:.1f} is chance. "
        )
    return (
        f"<section><h2>{TITLES[kpi]}</h2><p>{words}The bands hold half and nine tenths of what was expected before the "
        f"shift; hollow points are the history that the twin learned from.</p>{plot.render()}</section>"
    )


def _calibration(shifts: Sequence[Message]) -> str:
    rows = []
    for kpi in KPIS:
        said = [shift for shift in shifts if kpi in shift["expected"] and shift["kpis"][kpi] == shift["kpis"][kpi]]
        if said:
            inside = [covered(shift, kpi) for shift in said]
            pit = float(np.mean([shift["pit"][kpi] for shift in said]))
            rows.append([TITLES[kpi], f"{sum(inside)} of {len(said)}", f"{pit:.2f}"])
    if not rows:
        return ""
    heads = ["", "inside the 90% interval", "mean PIT (0.5 is right)"]
    return f"<section><h2>Was it right?</h2>{table(heads, rows)}</section>"


def _parameters(shifts: Sequence[Message]) -> str:
    tracked = [shift for shift in shifts if shift["parameters"]]
    if not tracked:
        return ""
    changed = {each["parameter"] for shift in shifts for each in shift["changed"]}
    parts = []
    for name in sorted(tracked[0]["parameters"], key=lambda name: (name not in changed, not name.endswith("service"))):
        if name not in changed and not name.endswith("service"):
            continue
        triples = [shift["parameters"][name] for shift in tracked]
        values = [value for triple in triples for value in triple]
        plot = Plot(name, (-1, len(tracked)), (min(values) * 0.95, max(values) * 1.05), 150)
        plot.y_ticks()
        plot.band(((k, triple[0], triple[2]) for k, triple in enumerate(triples)), "band")
        plot.line(((k, triple[1]) for k, triple in enumerate(triples)), "center")
        plot.x_ticks(spaced(_labels(tracked)))
        mark = " (changed)" if name in changed else ""
        parts.append(f"<h3>{escape(_words(name))}{mark}, minutes</h3>{plot.render()}")
    return (
        "<section><h2>What the machines are like now</h2><p>Median and 90% interval, shift by shift: every service, "
        f"and what changed.</p>{''.join(parts)}</section>"
    )


def _investment(advice: Message) -> str:
    rows = [
        [name, f"{100 * mean:.0f}%", f"{100 * low:.0f}% to {100 * high:.0f}%"]
        for name, (low, mean, high) in advice["loads"].items()
    ]
    low, mean, high = advice["saved"]
    least, most = advice["range"]
    return (
        f"<section><h2>One more {escape(advice['machine'])}?</h2><p>From an empty shop on, {advice['shifts']} shifts, "
        f"over what is believed of the machines, with and without it on the same random numbers: a job is in the shop "
        f"{advice['now']:.0f} minutes as it is, {advice['then']:.0f} with it. It saves {mean:.0f} minutes on average "
        f"({low:.0f} to {high:.0f}); nine times in ten it saves {least:.0f} to {most:.0f}.</p>"
        f"{table(['machine', 'load', '90% interval'], rows)}</section>"
    )


def _drivers(found: Message) -> str:
    order = np.argsort(-np.asarray(found["importance"]), kind="stable")[:12]
    rows = [
        [
            found["names"][k],
            f"{float(found['importance'][k]):.3f}",
            "yes" if found["names"][k] in found["selected"] else "",
        ]
        for k in order
    ]
    return (
        "<section><h2>What the lead time hangs on</h2><p>All numbers of the shop were varied by a fifth at once, and "
        f"trees fitted to what came out (they explain {100 * found['accuracy']:.0f}% of points that they did not see). "
        f"Above {found['threshold']:.3f}, a share of the trees' splits is more than a number without effect gets in "
        f"nineteen of twenty tries.</p>{table(['number', 'share of splits', 'matters'], rows)}</section>"
    )


def _about(run: str, start: Message, end: Message, command: str) -> str:
    rows = [("run", run), ("seed", str(start["seed"])), ("status", end["status"])]
    rows += [(name.replace("_", " "), str(value)) for name, value in start["settings"].items()]
    rows += [(f"version of {name}", version) for name, version in start["versions"].items()]
    return (
        "<section><h2>How it was made</h2><p>The same events, settings and seed give the same messages to the bit:</p>"
        f"<pre>{escape(command)}</pre>{table(('', ''), rows)}</section>"
    )
