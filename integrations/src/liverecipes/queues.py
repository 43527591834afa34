"""Opening the queue that a command line names."""

import livequeue

from .errors import BadInput


def open_queue(url: str) -> livequeue.Queue:
    """Connect, or raise `BadInput`: a queue that cannot be reached at the start is a wrong URL more often than not."""
    try:
        return livequeue.connect(url)
    except (ValueError, livequeue.QueueError) as error:
        raise BadInput(f"--queue: {error}") from None
