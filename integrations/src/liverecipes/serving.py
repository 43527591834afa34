"""What the recipes' commands share: the page beside a run, and where the report goes."""

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path

import livequeue
from rich.console import Console

from .errors import BadInput


@contextlib.contextmanager
def page_of(options: argparse.Namespace, queue: livequeue.Queue, name: str, console: Console) -> Iterator[None]:
    """Serve the run's page where it is wanted, and a moment longer, so that it shows the end."""
    wanted = console.is_terminal and not options.quiet if options.page is None else options.page
    if not (wanted or options.open):
        yield
        return
    from .page import Page  # the web server takes a while to import

    with contextlib.ExitStack() as stack:
        if not queue.url.startswith("memory:"):  # a page need not wait as long as a run for a queue that is away
            queue = stack.enter_context(livequeue.connect(queue.url, deadline=0.5))
        page = stack.enter_context(Page(queue, run=name))
        console.print(f"page    {page.url}", markup=False, highlight=False, soft_wrap=True)
        if options.open:
            page.open()
        yield
        page.linger()


def report_path(name: str) -> Path:
    """Return the path, or raise now rather than after the run."""
    path = Path(name)
    if path.is_dir():
        raise BadInput(f"--report {name}: this is a folder; give a file, such as {path / 'report.html'}")
    if not path.parent.is_dir():
        raise BadInput(f"--report {name}: there is no folder {path.parent}")
    return path
