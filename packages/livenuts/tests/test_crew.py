"""Threads of a run: who conducts, who watches, and what Ctrl-C does to whom."""

import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from livenuts.runtime.crew import Crew


@pytest.fixture(autouse=True)
def _the_handler_is_put_back() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def crew() -> tuple[Crew, threading.Event]:
    halted = threading.Event()
    return Crew(2, halted), halted


def nothing() -> None:
    return None


def test_a_short_run_is_its_callers_alone() -> None:
    seen: list[Any] = []
    crew()[0].run(lambda: seen.append((threading.current_thread(), threading.active_count())), nothing, 0.0)
    assert seen == [(threading.current_thread(), threading.active_count())]


@pytest.mark.parametrize("expected", [0.0, 10.0])
def test_a_longer_run_is_watched(expected: float) -> None:
    """Whether it was expected to be long, or turns out to be."""
    watched, (team, _) = threading.Event(), crew()

    def conduct() -> None:
        while not watched.wait(0.01):
            team.note()

    team.run(conduct, watched.set, expected)
    assert not any(thread.name == "livenuts-watch" for thread in threading.enumerate())


def test_ctrl_c_waits_for_what_is_being_done() -> None:
    team, halted = crew()
    done = []

    def conduct() -> None:
        signal.raise_signal(signal.SIGINT)
        assert halted.is_set()
        done.append(True)

    with pytest.raises(KeyboardInterrupt):
        team.run(conduct, nothing, 0.0)
    assert done == [True]


def test_a_second_ctrl_c_does_not_wait() -> None:
    team, _ = crew()
    done = []

    def conduct() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        done.append(True)

    with pytest.raises(KeyboardInterrupt):
        team.run(conduct, nothing, 0.0)
    assert done == []


def test_a_handler_of_the_users_own_is_called() -> None:
    """One that does not raise does not end the run."""
    heard: list[int] = []

    def handler(number: int, frame: Any) -> None:
        heard.append(number)

    signal.signal(signal.SIGINT, handler)
    team, halted = crew()
    team.run(lambda: signal.raise_signal(signal.SIGINT), nothing, 0.0)
    assert heard == [signal.SIGINT]
    assert not halted.is_set()
    assert signal.getsignal(signal.SIGINT) is handler
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_another_thread_may_conduct() -> None:
    """Signals are the main thread's: there they are left alone."""
    done: list[Any] = []
    thread = threading.Thread(target=lambda: crew()[0].run(lambda: done.append(True), nothing, 0.0))
    thread.start()
    thread.join()
    assert done == [True]


def test_an_error_of_the_watch_halts_the_run_and_is_raised() -> None:
    team, halted = crew()

    def watch() -> None:
        raise OSError("the screen is gone")

    def conduct() -> None:
        halted.wait(10.0)

    with pytest.raises(OSError, match="the screen is gone"):
        team.run(conduct, watch, 10.0)
    assert halted.is_set()


def test_the_first_error_of_a_share_halts_the_others() -> None:
    team, halted = crew()

    def work(share: Any) -> None:
        if 0 in share:
            raise ValueError("the first")
        halted.wait(10.0)

    began = time.monotonic()
    with pytest.raises(ValueError, match="the first"):
        team.run(lambda: team.each(work, [0, 1], 10.0), nothing, 0.0)
    assert time.monotonic() - began < 5.0
