"""Faults on purpose: tasks that kill their worker, densities whose host callback raises, returns NaN, dawdles or kills.

A host callback knows neither chain nor draw, so a fault is tied to a place: the n-th evaluation of the density marks
its position, and from then on every evaluation there is faulty, in a replay too. Which evaluation belongs to which draw
and to which depth of its tree follows from the statistics of an undisturbed run: see `evaluations`.
"""

import gc
import os
import signal
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import livenuts as ln
import numpy as np
from jax import lax


class Fault(RuntimeError):
    """What a faulty callback raises."""


@dataclass(eq=False, repr=False)
class Faults:
    """The faults of one density; `kind` is "raise", "nan", "delay" or "kill"."""

    kind: str = "raise"
    at: frozenset[int] = frozenset()
    """Evaluations that are faulty, counted from 0 over all evaluations of the density."""
    where: Callable[[np.ndarray], bool] = lambda position: False
    """Positions that are faulty whenever they are visited."""
    marked: set[bytes] = field(default_factory=set)
    visited: list[bytes] = field(default_factory=list)
    """Every position at which the density was evaluated, in order."""
    hits: int = 0

    def become(self, **fields: Any) -> "Faults":
        """Other faults for the same compiled density, counted from 0 again."""
        vars(self).update(vars(Faults(**fields)))
        return self

    @property
    def count(self) -> int:
        return len(self.visited)

    def __call__(self, words: np.ndarray) -> np.float32:
        # The position comes as 32-bit words: callbacks run outside of our double precision.
        position = np.ascontiguousarray(np.asarray(words)).view(np.float64).ravel()
        if self.count in self.at:
            self.marked.add(position.tobytes())
        self.visited.append(position.tobytes())
        if position.tobytes() not in self.marked and not self.where(position):
            return np.float32(0.0)
        self.hits += 1
        if self.kind == "raise":
            raise Fault("the sensor is unplugged")
        if self.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "delay":
            time.sleep(0.05)
        return np.float32(np.nan if self.kind == "nan" else 0.0)


def gaussian(faults: Faults, dimension: int = 3) -> Any:
    """Independent normals with sds 1, 2, ..., whose log density asks `faults` on the host at every evaluation."""
    sds = np.arange(1.0, dimension + 1.0)

    @jax.custom_jvp
    def density(x: Any) -> Any:
        words = lax.bitcast_convert_type(x, jnp.uint32)
        asked = jax.pure_callback(faults, jax.ShapeDtypeStruct((), jnp.float32), words)
        return -0.5 * jnp.sum((x / sds) ** 2) + asked

    density.defjvps(lambda tangent, _, x: jnp.sum(-x / sds**2 * tangent))
    return ln.from_logdensity(density, np.zeros(dimension))


def evaluations(n_steps: np.ndarray, first: int) -> list[int]:
    """The number of each draw's first evaluation, for one chain's draws whose first begins at evaluation `first`."""
    return (first + np.concatenate([[0], np.cumsum(n_steps)[:-1]])).tolist()


# -- tasks for the tests of executors: a worker imports them from here ------------------------------------------------


def square(number: float) -> float:
    return number * number


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def fail(number: int) -> int:
    if number == 2:
        raise ValueError(f"{number} is not wanted")
    return number


class Awkward(Exception):
    """An exception that a pickle does not survive."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)
        self.second = second


def fail_awkwardly(number: int) -> None:
    raise Awkward("odd", "even")


def die_once(task: tuple[int, str]) -> int:
    """Kill this worker the first time that the task runs."""
    number, folder = task
    marker = Path(folder) / f"died-{number}"
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def die_in_mid_sentence(task: tuple[int, str]) -> int:
    """The first time, announce a result of 1000 bytes on the pool's pipe, send one of them, and die."""
    number, folder = task
    marker = Path(folder) / f"died-{number}"
    if not marker.exists():
        marker.touch()
        pipe = next(one for one in gc.get_objects() if isinstance(one, SimpleQueue))
        os.write(pipe._writer.fileno(), struct.pack("!i", 1000) + b"x")  # type: ignore[attr-defined]
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def die_always(task: Any) -> None:
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGKILL)


def count_up(task: dict[str, Any]) -> dict[str, Any]:
    """A stretch of work that goes on where it ended: one more number, then its process id."""
    time.sleep(task.get("seconds", 0.0))
    return {**task, "made": [*task["made"], len(task["made"])], "pid": os.getpid()}


class FileSink:
    """A remote sink: every message is one line of a file of its part, written at once, from whatever process.

    A line whose writer is killed in the middle has no end mark, and is no message.
    """

    remote = True

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, message: dict[str, Any]) -> None:
        if message["part"] == "progress" or "/" in message["part"]:
            return
        line = f"\n{os.getpid()} {message['seq']} {str(message).replace(chr(10), ' ')}.".encode()
        handle = os.open(Path(self.folder) / message["part"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            os.write(handle, line)
        finally:
            os.close(handle)

    def lines(self) -> dict[str, list[tuple[int, int, str]]]:
        """Of each part: process, seq and text of every message, in the order of arrival."""
        found = {}
        for path in sorted(Path(self.folder).iterdir()):
            fields = [line[:-1].split(" ", 2) for line in path.read_text().splitlines() if line.endswith("}.")]
            found[path.name] = [(int(process), int(seq), text) for process, seq, text in fields]
        return found
