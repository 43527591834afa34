"""Linear algebra in one thread: how many threads LAPACK has changes the last bits of what it computes.

OpenBLAS divides a decomposition among its threads from about a hundred rows on; a few hundred rows are no faster for
it, and much slower when chains want the cores too.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Matrices with fewer rows are never divided.
_DIVIDED = 48

_lock = threading.Lock()
_inside = 0
_controller: Any = None
_limit: Any = None


@contextmanager
def one_thread(rows: int = _DIVIDED) -> Iterator[None]:
    """One thread for the linear algebra of this process, from the first to enter until the last to leave."""
    global _inside, _controller, _limit
    if rows < _DIVIDED:
        yield
        return
    with _lock:
        if _inside == 0:
            from threadpoolctl import ThreadpoolController

            _controller = _controller or ThreadpoolController()
            _limit = _controller.limit(limits=1, user_api="blas")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _limit.restore_original_limits()
