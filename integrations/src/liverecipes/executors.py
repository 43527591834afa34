"""Where a command line wants the engines' work to be done."""

import contextlib
import multiprocessing
import os
import re
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from importlib import import_module
from typing import Any

from .errors import BadInput

FORMS = "processes, processes:N or dask://HOST:PORT"


@contextlib.contextmanager
def open_executor(name: str | None) -> Iterator[Executor | None]:
    """Yield the executor of that name, None for None: `processes`, as many as there are cores; `processes:N`; or
    `dask://HOST:PORT`, the workers of that scheduler, where livenuts and livequeue are installed too.

    Raises BadInput for any other name, and where there is no such scheduler.
    """
    if name is None:
        yield None
    elif found := re.fullmatch(r"processes(?::([1-9]\d{0,3}))?", name):
        # Not forked: JAX has threads.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(int(found[1] or os.cpu_count() or 1), mp_context=context) as pool:
            yield pool
    elif found := re.fullmatch(r"dask://([^/\s]+:\d+)", name):
        with _dask(name, found[1]) as pool:
            yield pool
    else:
        raise BadInput(f"--executor {name}: must be {FORMS}")


@contextlib.contextmanager
def _dask(name: str, address: str) -> Iterator[Executor]:
    try:
        distributed: Any = import_module("distributed")
    except ModuleNotFoundError:
        raise BadInput(f"--executor {name}: dask is not installed here: pip install distributed") from None
    try:
        client = distributed.Client(f"tcp://{address}", timeout=5)
    except OSError as error:
        raise BadInput(f"--executor {name}: {error}") from None
    with client:
        yield client.get_executor(pure=False, retries=2)
