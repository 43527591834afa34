"""Stories with known ends: whole logs, in the order in which things happen."""

from livesim import Model, Result, arrive, depart, hold, release, run, seize
from livesim.model.verbs import Step


def story(model: Model, until: float = 100.0, *, engine: str = "compiled") -> list[tuple[float, str, str, int]]:
    """What happened: time, action, process and job."""
    result: Result = run(model, until, seed=1, trace=True, engine=engine)
    assert result.trace is not None
    return [(time, action, process, job) for time, action, process, job, _, _ in result.trace]


def visit(*at: float, time: float = 2.0, **seizing: object) -> tuple[Step, ...]:
    return arrive(at=at), seize("inn", **seizing), hold(time), release("inn"), depart()  # type: ignore[arg-type]


def test_a_release_comes_before_an_arrival_at_the_same_time() -> None:
    model = Model("inn").resource("inn").process("guest", *visit(0, 2))
    assert story(model) == [
        (0.0, "arrive", "guest", 1),
        (0.0, "hold", "guest", 1),
        (2.0, "release", "guest", 1),
        (2.0, "depart", "guest", 1),
        (2.0, "arrive", "guest", 2),
        (2.0, "hold", "guest", 2),
        (4.0, "release", "guest", 2),
        (4.0, "depart", "guest", 2),
    ]
