"""Small plots as inline SVG: classes instead of colours, so that the page's style sheet decides, light or dark."""

import math
from collections.abc import Iterable, Sequence
from html import escape

WIDTH = 760
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 14, 32


class Plot:
    """One plot: draw in the data's coordinates, then `render()`."""

    def __init__(self, description: str, x: tuple[float, float], y: tuple[float, float], height: int = 300) -> None:
        self.description, self.height = description, height
        self.x_range = x if x[1] > x[0] else (x[0] - 0.5, x[0] + 0.5)
        self.y_range = y if y[1] > y[0] else (y[0] - 0.5, y[0] + 0.5)
        self.elements: list[str] = []

    def x(self, value: float) -> float:
        low, high = self.x_range
        return LEFT + (WIDTH - LEFT - RIGHT) * (min(max(value, low), high) - low) / (high - low)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return self.height - BOTTOM - (self.height - TOP - BOTTOM) * (min(max(value, low), high) - low) / (high - low)

    def line(self, points: Iterable[tuple[float, float | None]], style: str) -> None:
        """Draw a line that breaks where y is None."""
        path, pen = [], "M"
        for x, y in points:
            if y is None:
                pen = "M"
                continue
            path.append(f"{pen}{self.x(x):.1f} {self.y(y):.1f}")
            pen = "L"
        self.elements.append(f'<path class="{style}" d="{"".join(path)}"/>')

    def area(self, outline: Sequence[tuple[float, float]], style: str) -> None:
        corners = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in outline)
        self.elements.append(f'<polygon class="{style}" points="{corners}"/>')

    def band(self, points: Iterable[tuple[float, float | None, float | None]], style: str) -> None:
        """Fill between a lower and an upper line; it breaks where one is None."""
        stretch: list[tuple[float, float, float]] = []
        for x, lower, upper in [*points, (0.0, None, None)]:
            if lower is not None and upper is not None:
                stretch.append((x, lower, upper))
            elif stretch:
                there = [(x, upper) for x, _, upper in stretch]
                back = [(x, lower) for x, lower, _ in reversed(stretch)]
                self.area(there + back, style)
                stretch = []

    def dot(self, x: float, y: float, radius: float, style: str, title: str = "") -> None:
        self.elements.append(
            f'<circle class="{style}" cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="{radius}">'
            f"<title>{escape(title)}</title></circle>"
        )

    def box(
        self, x: tuple[float, float], y: tuple[float, float], style: str, opacity: float = 1.0, title: str = ""
    ) -> None:
        left, right, top, bottom = self.x(x[0]), self.x(x[1]), self.y(y[1]), self.y(y[0])
        tip = f"><title>{escape(title)}</title></rect>" if title else "/>"
        faint = "" if opacity >= 1 else f' opacity="{opacity:.2f}"'
        self.elements.append(
            f'<rect class="{style}" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
            f'height="{bottom - top:.1f}"{faint}{tip}'
        )

    def legend(self, entries: Iterable[tuple[str, str]]) -> None:
        """Name the styles in the upper right corner."""
        for row, (style, name) in enumerate(entries):
            top = TOP + 24 * row
            self.elements.append(f'<rect class="{style}" x="{WIDTH - 116}" y="{top}" width="14" height="14"/>')
            self.elements.append(f'<text x="{WIDTH - 96}" y="{top + 13}">{escape(name)}</text>')

    def x_ticks(self, labels: Iterable[tuple[float, str]]) -> None:
        bottom = self.height - BOTTOM
        for value, label in labels:
            at = f"{self.x(value):.1f}"
            self.elements.append(f'<path class="tick" d="M{at} {bottom}v5"/>')
            self.elements.append(f'<text x="{at}" y="{bottom + 20}" text-anchor="middle">{escape(label)}</text>')

    def y_ticks(self, values: Iterable[float] | None = None) -> None:
        for value in nice_ticks(*self.y_range) if values is None else values:
            at = f"{self.y(value):.1f}"
            self.elements.append(f'<path class="grid" d="M{LEFT} {at}H{WIDTH - RIGHT}"/>')
            self.elements.append(f'<text x="{LEFT - 8}" y="{at}" dy="0.35em" text-anchor="end">{value:.10g}</text>')

    def render(self) -> str:
        base = f'<path class="axis" d="M{LEFT} {self.height - BOTTOM}H{WIDTH - RIGHT}"/>'
        return (
            f'<div class="plot"><svg viewBox="0 0 {WIDTH} {self.height}" role="img" '
            f'aria-label="{escape(self.description)}">{"".join(self.elements)}{base}</svg></div>'
        )


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round numbers inside the range."""
    raw = (high - low) / count
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * size for factor in (1, 2, 5, 10) if factor * size >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def spaced(labels: Sequence[str], count: int = 8) -> list[tuple[float, str]]:
    """Return some of the labels, with their indices, evenly spaced and round where they are whole numbers."""
    if any(len(label) > 5 for label in labels):
        count = 4
    step = max(1, math.ceil(len(labels) / count))
    start = 0
    if all(label.isdecimal() and len(label) < 10 for label in labels):
        step = next((size for size in (1, 2, 5, 10, 20, 25, 50, 100) if size >= step), step)
        start = next((index for index, label in enumerate(labels) if int(label) % step == 0), 0)
    return [(float(index), _cut(labels[index])) for index in range(start, len(labels), step)]


def _cut(label: str) -> str:
    return label if len(label) <= 10 else label[:9] + "…"
