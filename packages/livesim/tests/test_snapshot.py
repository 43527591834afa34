"""A run that goes on from a snapshot ends with the bits of one longer run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import livesim_models
import pytest
from livesim import Model, Result, Snapshot, run


def numbers(result: Result) -> list[Any]:
    return [result.until, result.start, result.events, *(result[name] for name in result)]


@pytest.mark.parametrize("build", livesim_models.EVERY)
def test_snapshot_and_rest_are_the_whole(build: Callable[[], Model], tmp_path: Path) -> None:
    model = build()
    whole = run(model, 300, seed=3, warmup=20)
    first = run(model, 111.5, seed=3, warmup=20)
    first.snapshot.save(tmp_path / "state.npz")
    rest = run(build(), 300, start=Snapshot.load(tmp_path / "state.npz"))
    assert str(numbers(rest)) == str(numbers(whole))
    # The snapshot is a copy: the run that it came from does not change it, nor does one that goes on.
    again = first.snapshot
    run(model, 200, start=again)
    assert str(numbers(run(model, 300, start=again))) == str(numbers(whole))


def test_another_seed_is_another_future_of_the_same_present() -> None:
    """Poison of the above: what is to come differs, what was does not."""
    model = livesim_models.barbershop()
    present = run(model, 1000, seed=1).snapshot
    futures = [run(model, 3000, start=present, seed=seed, trace=True) for seed in (1, 2, 3)]
    assert len({future["customer"].wait.mean for future in futures}) == 3
    assert futures[0]["customer"] == run(model, 3000, seed=1)["customer"]
    slow = run(model, 3000, start=present, params={"service": 40.0})
    assert slow["customer"].completed < futures[0]["customer"].completed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"start": 3}, "start must be a snapshot"),
        ({"until": 5}, "which is after until=5"),
        ({"model": livesim_models.rework()}, "of another model"),
        ({"engine": "reference"}, "only engine='compiled' goes on"),
        ({"warmup": 5.0}, "lies before the snapshot's time"),
    ],
)
def test_what_cannot_go_on_is_refused(change: dict[str, Any], words: str) -> None:
    model = livesim_models.barbershop()
    start = run(model, 10, seed=1).snapshot
    with pytest.raises((TypeError, ValueError), match=words):
        run(**{"model": model, "until": 20, "start": start} | change)
