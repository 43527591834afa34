"""Streams of random numbers: what is common stays common, whatever else a model does."""

from livesim import (
    Model,
    arrive,
    assign,
    depart,
    empirical,
    exponential,
    hold,
    record,
    release,
    route,
    run,
    seize,
    trace,
)


def services(model: Model, **options: object) -> list[tuple[int, str]]:
    """The lengths of the holds, by job."""
    result = run(model, 400, seed=9, trace=True, **options)  # type: ignore[arg-type]
    assert result.trace is not None
    return sorted((job, detail) for _, action, _, job, _, detail in result.trace if action == "hold")


def shop(barbers: int, *more: object) -> Model:
    return (
        Model(f"{barbers} barbers")
        .resource("barber", barbers)
        .process(
            "customer", arrive(every=exponential(mean=3)), *more, seize("barber"), hold(exponential(mean=4)),
            release("barber"), depart(),
        )  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_job_has_the_same_service_whatever_the_order() -> None:
    """With one barber and with three, jobs are served in other orders, or later, with the same times."""
    few, many = dict(services(shop(1))), dict(services(shop(3)))
    assert len(few) > 50
    assert all(many[job] == length for job, length in few.items())


def test_another_step_moves_no_stream() -> None:
    changed = services(shop(1, assign(size=exponential(mean=2)), record("size", 3)))
    assert changed == services(shop(1))
    # Poison: another process name is another stream.
    renamed = Model("m").process("client", arrive(every=exponential(mean=3)), hold(exponential(mean=4)), depart())
    assert services(renamed)[0] != services(shop(1))[0]


def test_replications_differ_and_repeat() -> None:
    assert services(shop(1), replication=1) == services(shop(1), replication=1)
    assert services(shop(1), replication=1) != services(shop(1), replication=0)


def test_a_trace_gives_the_nth_job_its_nth_value() -> None:
    for engine in ("compiled", "reference"):
        model = Model("m").process(
            "p",
            arrive(every=trace([5, 1, 1, 20], at_end="repeat"), limit=6),
            route(trace([3, 2, 1], at_end="last")),
            depart(),
        )
        result = run(model, 100, seed=1, trace=True, engine=engine)
        assert result.trace is not None
        rows = list(result.trace)
        assert [row[0] for row in rows if row[1] == "arrive"] == [5, 6, 7, 27, 32, 33]
        assert [row[5] for row in sorted(rows, key=lambda row: row[3]) if row[1] == "hold"] == [
            "3",
            "2",
            "1",
            "1",
            "1",
            "1",
        ]


def test_tables_lie_side_by_side() -> None:
    model = Model("m").process(
        "p", arrive(every=1), route(empirical([1.0, 2.0])), route(empirical([10.0, 20.0, 30.0])), depart()
    )
    assert {detail for _, detail in services(model)} == {"1", "2", "10", "20", "30"}
