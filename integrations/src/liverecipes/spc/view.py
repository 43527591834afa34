"""The terminal view: a listener like any other, it knows of a run only what the queue tells it."""

import contextlib
import math
import threading
from collections.abc import Sequence
from typing import Any

import livequeue
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.panel import Panel
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ..terminal import printable
from .chart import frame
from .recipe import NUTS_SUFFIX
from .verdict import number

Message = dict[str, Any]
EIGHTHS = " ▁▂▃▄▅▆▇█"
LABEL_WIDTH = 9
OTHER_LINES = 15
"""Lines of the view that are not the chart's rows: it fits 24 lines with 8 rows."""


class Chain:
    """What the view knows of one chain of NUTS."""

    def __init__(self) -> None:
        self.warmup = self.draws = self.divergences = 0
        self.acceptance = self.step_size = 0.0


class Watch:
    """The state of the view: `consume` takes each message of the run and of its NUTS run; rich can print it."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.start: Message | None = None
        self.end: Message | None = None
        self.points: list[Message] = []
        self.alarms: list[tuple[str, str]] = []
        self.nuts_settings: dict[str, Any] | None = None
        self.chains: dict[int, Chain] = {}

    def consume(self, message: Message) -> str | None:
        """Take one message; return the line that a plain listener should print, if it is worth one."""
        kind = message["type"]
        if kind == "spc.start/1":
            self.start = message
            return f"{printable(message['data']['name'])}: {message['data']['count']} points, seed {message['seed']}"
        if kind == "spc.point/1":
            self.points.append(message)
            found = [(message["label"], alarm["text"]) for alarm in message["alarms"]]
            self.alarms += found
            return "\n".join(f"{_cut(label)}: alarm: {text}" for label, text in found) or None
        if kind == "spc.end/1":
            self.end = message
            return None
        if kind == "nuts.start/1":
            self.nuts_settings = message["settings"]
            return "NUTS samples the levels and the change time"
        if kind in ("nuts.draw/1", "nuts.warmup/1"):
            chain = self.chains.setdefault(message["chain"], Chain())
            stats = message["stats"]
            chain.step_size = float(stats["step_size"])
            # A running mean over about the last fifty iterations.
            chain.acceptance += (float(stats["acceptance_rate"]) - chain.acceptance) / min(
                50, chain.warmup + chain.draws + 1
            )
            if kind == "nuts.draw/1":
                chain.draws = message["draw"] + 1
                chain.divergences += bool(stats["diverging"])
            else:
                chain.warmup = message["draw"] + 1
            return None
        if kind == "nuts.end/1":
            divergences = sum(chain.divergences for chain in self.chains.values())
            return f"NUTS {message['status']}: {sum(message['draws'])} draws, {divergences} divergences"
        return None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, 160)
        height = options.height or options.size.height
        rows = max(4, min(20, height - OTHER_LINES - 1))
        name = self.start["data"]["name"] if self.start else "waiting for the first message"
        total = self.start["data"]["count"] if self.start else 0
        window = self.start["settings"]["window"] if self.start else 0
        title = f"[b]{_plain(name)}[/b]  point {len(self.points)} of {total}  run {_plain(self.run)}"
        both = Table.grid(expand=True, padding=0)
        both.add_column(ratio=1)
        both.add_column(ratio=1)
        both.add_row(
            Panel(self._since(3), title="since the last change", title_align="left", border_style="dim"),
            Panel(self._alarm_lines(3), title=f"alarms: {len(self.alarms)}", title_align="left", border_style="dim"),
        )
        yield Group(
            Panel(
                chart(self.points, total, window, width - 4, rows),
                title=title,
                title_align="left",
                border_style="dim",
                width=width,
            ),
            both if width == options.max_width else _narrow(both, width),
            Panel(self._sampler(), title="NUTS", title_align="left", border_style="dim", width=width),
        )

    def _since(self, rows: int) -> Text:
        if not self.points or not self.start:
            return _padded([], rows)
        point = self.points[-1]
        if point["phase"] == 1 and self.start["settings"]["prior"] is None:
            seen = sum(each["x"] is not None for each in self.points)
            return _padded([f"learning what is normal: {seen} of {self.start['settings']['phase_one']}"], rows)
        return since_change(self.points, point["lengths"], point["probabilities"], rows)

    def _alarm_lines(self, rows: int) -> Text:
        return _padded(
            [f"{_cut(label)}: {printable(text)}" for label, text in self.alarms[-rows:]] or ["none so far"], rows
        )

    def _sampler(self) -> Text:
        if self.start and self.start["nuts"] is None:
            return _padded(["not asked for"], 4)
        if not self.chains or self.nuts_settings is None:
            known = self.start is not None and len(self.points) >= self.start["data"]["count"]
            words = "compiling the model" if known else "begins after the last point"
            return _padded([words if not self.end else "did not run"], 4)
        warmup, samples = self.nuts_settings["num_warmup"], self.nuts_settings["num_samples"]
        lines = []
        for index, chain in sorted(self.chains.items()):
            done = (chain.warmup + chain.draws if not chain.draws else warmup + chain.draws) / (warmup + samples)
            phase = f"draw {chain.draws:>5}" if chain.draws else f"warm-up {chain.warmup:>4}"
            lines.append(
                f"chain {index} {bar(done, 20)} {phase:<12} step {chain.step_size:<6.3g} "
                f"accept {chain.acceptance:.2f} div {chain.divergences}"
            )
        hidden = len(lines) - 4
        return _padded(lines if hidden <= 0 else [*lines[:3], f"... and {hidden + 1} more chains"], 4)


def chart(points: Sequence[Message], count: int, window: int, width: int, rows: int) -> Text:
    """Draw the newest points that fit, one to three a column, above the probability of a recent change.

    `count` is how many points there will be, 0 where nobody knows; `points` are `spc.point/1`.
    """
    columns = max(10, width - LABEL_WIDTH - 1)
    stride = min(3, max(1, math.ceil(count / columns)))
    points = points[-(columns - 1) * stride - 1 - (len(points) - 1) % stride :]
    values = [point["x"] for point in points if point["x"] is not None]
    low, high = frame(values, (point["lower"] for point in points), (point["upper"] for point in points), 0.05)
    grid = [[(" ", "")] * columns for _ in range(rows)]

    def put(column: int, value: float | None, mark: str, style: str) -> None:
        if value is not None and low <= value <= high:
            grid[min(rows - 1, int((high - value) / (high - low) * rows))][column] = (mark, style)

    recent = [0.0] * columns
    for index, point in enumerate(points):
        column = index // stride
        recent[column] = max(recent[column], point["recent"])
        if any(alarm["rule"] != "limits" for alarm in point["alarms"]):
            for row in grid:
                row[column] = ("│", "red")
        put(column, point["lower"], "┄", "dim")
        put(column, point["upper"], "┄", "dim")
        put(column, point["center"], "─", "cyan")
    for index, point in enumerate(points):
        rules = [alarm["rule"] for alarm in point["alarms"]]
        mark, style = ("✖", "bold red") if "limits" in rules else ("●", "bold")
        put(index // stride, point["x"], "○" if point["phase"] == 1 else mark, style)
    text = Text(no_wrap=True, overflow="crop")
    for index, row in enumerate(grid):
        value = high - (index + 0.5) / rows * (high - low)
        value_label = number(value, 0.2 * (high - low) / rows) if index % 2 == rows % 2 else ""
        if len(value_label) > LABEL_WIDTH:
            value_label = f"{value:.3g}"
        text.append(f"{value_label:>{LABEL_WIDTH}} ", "dim")
        for mark, style in row:
            text.append(mark, style)
        text.append("\n")
    text.append(f"{f'P(r≤{window})':>{LABEL_WIDTH}} ", "dim")
    used = math.ceil(len(points) / stride)
    for probability in recent[:used]:
        level = min(8, max(0, round(8 * probability)))
        text.append(EIGHTHS[level] if level else "·", "red" if level > 4 else "dim")
    text.append("\n" + " " * (LABEL_WIDTH + 1))
    if points:
        first, last = _cut(points[0]["label"]), _cut(points[-1]["label"])
        text.append(first + last.rjust(max(len(last) + 1, used - len(first))), "dim")
    return text


def since_change(
    points: Sequence[Message], lengths: Sequence[float], probabilities: Sequence[float], rows: int
) -> Text:
    """Show the most probable runs of the newest point as bars, each with the point at which it began."""
    runs = sorted(zip(probabilities, lengths, strict=True), reverse=True)
    lines = []
    for probability, length in [run for run in runs if run[1] > 0][:rows]:
        since = _cut(points[max(0, len(points) - int(length))]["label"])
        lines.append(f"{since:>10} {bar(float(probability), 14)} {probability:.2f}")
    return _padded(lines, rows)


class View:
    """Shows a run while it goes on: `with View(queue, run, console): ...`; it leaves after the run's end."""

    def __init__(self, queue: livequeue.Queue, run: str, console: Console) -> None:
        self._watch = Watch(run)
        self._console = console
        self._lock = threading.Lock()
        self._readers = [queue.subscribe(run), queue.subscribe(run + NUTS_SUFFIX)]
        self._threads = [threading.Thread(target=self._read, args=(reader,)) for reader in self._readers]
        self._live = Live(
            get_renderable=self._picture, console=console, refresh_per_second=10, vertical_overflow="crop"
        )

    def __enter__(self) -> "View":
        if self._console.is_interactive:
            self._live.start()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        # By now the run's last message is on the queue, and the reader ends by itself; a run that failed has none.
        try:
            self._threads[0].join(timeout=None if error[0] is None else 1.0)
            self._threads[1].join(timeout=1.0 if self._watch.nuts_settings is None else 5.0)
        finally:  # whoever cannot wait for the last messages still gets the terminal back
            try:
                for reader, thread in zip(self._readers, self._threads, strict=True):
                    reader.close()
                    thread.join()
            finally:
                if self._console.is_interactive:
                    self._live.stop()

    def _read(self, reader: livequeue.Subscription) -> None:
        # A queue that fails is the publisher's to report: without a view the run goes on.
        with contextlib.suppress(livequeue.QueueError):
            for message in reader:
                with self._lock:
                    line = self._watch.consume(message)
                if line and not self._console.is_interactive:
                    self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _picture(self) -> Any:
        # Rendered here, under the lock: a message may come at any time.
        with self._lock:
            options = self._console.options
            lines = self._console.render_lines(self._watch, options, pad=False)
        return _Lines(lines)


class _Lines:
    def __init__(self, lines: Sequence[Sequence[Any]]) -> None:
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self._lines:
            yield from line
            yield Segment.line()


def _narrow(table: Table, width: int) -> Table:
    table.expand, table.width = False, width
    return table


def _padded(lines: Sequence[str], rows: int) -> Text:
    return Text("\n".join([*lines, *[""] * (rows - len(lines))]), no_wrap=True, overflow="ellipsis")


def bar(share: float, width: int) -> str:
    """Return a bar of `width` characters."""
    eighths = round(8 * width * min(max(share, 0.0), 1.0))
    full, rest = divmod(eighths, 8)
    return ("█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")).ljust(width, "·")


def _cut(label: str) -> str:
    label = printable(label)
    return label if len(label) <= 10 else label[:9] + "…"


def _plain(text: str) -> str:
    """Return the text as rich's markup shows it unchanged."""
    return printable(text).replace("[", "\\[")
