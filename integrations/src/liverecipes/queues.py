"""Opening the queue that a command line names."""

import livequeue

from .errors import BadInput


def open_queue(url: str, deadline: float = 30.0) -> livequeue.Queue:
    """Connect, or raise `BadInput`: a queue that cannot be reached at the start is a wrong URL more often than not."""
    try:
        return livequeue.connect(url, deadline=deadline)
    except (ValueError, livequeue.QueueError) as error:
        raise BadInput(f"--queue: {error}") from None
