"""Where jobs go inside a process: which step follows which, which steps repeat, and what a job may hold where."""

from __future__ import annotations

from collections.abc import Sequence

from livesim.model.verbs import Depart, Label, Release, Seize, Split, Step


def targets(steps: Sequence[Step]) -> list[list[int]]:
    """The steps, by index, that may follow each step."""
    labels = {step.name: index for index, step in enumerate(steps) if isinstance(step, Label)}
    following = []
    for index, step in enumerate(steps):
        after = [labels[to] for to in step.labels()]
        if step.falls_through():
            after.append(index + 1)
        following.append(after)
    return following


def repeated(steps: Sequence[Step]) -> set[int]:
    """The steps that one job may do more than once."""
    following = targets(steps)
    found = set()
    for start in range(len(steps)):
        seen: set[int] = set()
        waiting = list(following[start])
        while waiting:
            index = waiting.pop()
            if index not in seen:
                seen.add(index)
                waiting.extend(following[index])
        if start in seen:
            found.add(start)
    return found


def check_holdings(process: str, steps: Sequence[Step]) -> None:
    """Refuse a release of what no way through the process has seized, and a departure that surely holds something."""
    following = targets(steps)
    may: list[set[str] | None] = [None] * len(steps)
    must: list[set[str] | None] = [None] * len(steps)
    may[0], must[0] = set(), set()
    waiting = [0]
    while waiting:
        index = waiting.pop()
        step, possible, certain = steps[index], may[index] or set(), must[index] or set()
        if isinstance(step, Seize):
            possible = possible | set(step.resources)
            certain = certain | (set(step.resources) if step.policy is None else set())
        if isinstance(step, Release):
            certain = certain - set(step.resources)
            possible = possible if step.units is not None else possible - set(step.resources)
        for after in following[index]:
            copies_come = isinstance(step, Split) and (step.to is None or after != index + 1)
            surely: set[str] = set() if copies_come else certain  # copies hold nothing
            old_may, old_must = may[after], must[after]
            new_may = possible if old_may is None else old_may | possible
            new_must = surely if old_must is None else old_must & surely
            if new_may != old_may or new_must != old_must:
                may[after], must[after] = new_may, new_must
                waiting.append(after)
    for number, step in enumerate(steps, 1):
        possible, certain = may[number - 1] or set(), must[number - 1] or set()
        if isinstance(step, Release) and may[number - 1] is not None and not possible & set(step.resources):
            names = " or ".join(map(repr, step.resources))
            raise ValueError(f"process {process!r}, step {number}, {step}: no way here seizes {names}, so none is held")
        if isinstance(step, Depart) and certain:
            names = " and ".join(map(repr, sorted(certain)))
            raise ValueError(f"process {process!r}, step {number}, {step}: the job still holds {names}; release first")
