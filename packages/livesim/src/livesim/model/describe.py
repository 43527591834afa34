"""A model as a table that a person can check, and as a picture."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from livesim.model.values import text
from livesim.model.verbs import Decide, Label, Step

if TYPE_CHECKING:
    from livesim.model.builder import Model, Process


def describe(model: Model) -> str:
    """Resources, then each process step by step; a jump shows the number of the step that it leads to."""
    lines = [f"model {model.name!r}"]
    parameters = model.parameters()
    if parameters:
        lines.append("parameters: " + ", ".join(f"{name} = {default:g}" for name, default in parameters.items()))
    lines += [f"  {resource}" for resource in model.resources.values()]
    for conveyor in model.conveyors.values():
        time = conveyor.length / conveyor.speed
        lines.append(f"  conveyor {conveyor.name!r}: takes {time:g}, capacity={conveyor.capacity}")
    for container in model.containers.values():
        lines.append(f"  container {container.name!r}: capacity={container.capacity:g}, initial={container.initial:g}")
    lines += [f"  {store}" for store in model.stores.values()]
    for process in model.processes.values():
        lines += ["", f"process {process.name!r}"]
        for number, step in enumerate(process.steps, 1):
            to = _targets(process, step)
            where = f"  -> {', '.join(map(str, to))}" if to else ""
            lines.append(f"  {number:>3}  {step.verb:<9} {_content(step)}{where}".rstrip())
    return "\n".join(lines)


def diagram(model: Model) -> str:
    """The processes side by side as an SVG image: a box a step, an arrow where a job may jump."""
    widths = [
        max(len(f"{step.verb} {_content(step)}") for step in p.steps) * 6.6 + 40 for p in model.processes.values()
    ]
    reach = [24 + 14 * sum(bool(step.labels()) for step in p.steps) for p in model.processes.values()]
    height = 92 + 36 * max((len(process.steps) for process in model.processes.values()), default=0)
    total = 24 + sum(widths) + sum(reach)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total:.0f} {height}" width="{total:.0f}" '
            f'height="{height}" font-family="sans-serif" font-size="12" role="img" aria-label="{escape(model.name)}">'
        ),
        (
            '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
            '<path d="M0,0 L8,4 L0,8 z" fill="#555"/></marker></defs>'
        ),
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="24" y="24" font-size="15" font-weight="bold">{escape(model.name)}</text>',
    ]
    left = 24.0
    for process, width, room in zip(model.processes.values(), widths, reach, strict=True):
        parts.append(f'<text x="{left:.0f}" y="54" font-weight="bold">{escape(process.name)}</text>')
        jump = 0
        for index, step in enumerate(process.steps):
            top = 64 + 36 * index
            fill = "#e8f0fe" if isinstance(step, Label) else "#ffffff"
            parts.append(
                f'<rect x="{left:.0f}" y="{top}" width="{width:.0f}" height="26" rx="5" fill="{fill}" stroke="#555"/>'
                f'<text x="{left + 10:.0f}" y="{top + 17}"><tspan font-weight="bold">{step.verb}</tspan> '
                f"{escape(_content(step))}</text>"
            )
            if step.falls_through():
                middle = left + width / 2
                parts.append(
                    f'<path d="M{middle:.0f},{top + 26} v9" stroke="#555" fill="none" marker-end="url(#tip)"/>'
                )
            right = left + width
            for to in _targets(process, step):
                side = right + 12 + 14 * jump
                landing = 64 + 36 * (to - 1) + 13
                parts.append(
                    f'<path d="M{right:.0f},{top + 13} H{side:.0f} V{landing} H{right + 1:.0f}" stroke="#b3541e" '
                    'fill="none" marker-end="url(#tip)"/>'
                )
            jump += bool(step.labels())
        left += width + room
    return "\n".join([*parts, "</svg>"])


def _content(step: Step) -> str:
    """What a step holds, as it is written."""
    if isinstance(step, Decide):
        return ", ".join(f"{text(chance)}: {to}" for chance, to in step.branches)
    inside = str(step)[len(step.verb) + 1 : -1]
    return inside.replace("resources=", "").replace("time=", "")


def _targets(process: Process, step: Step) -> list[int]:
    """The numbers of the steps that a step may jump to."""
    labels = {s.name: number for number, s in enumerate(process.steps, 1) if isinstance(s, Label)}
    return [labels[to] for to in step.labels()]
