"""What a person reads of a run: `print(result)` shows the numbers that `value` gives."""

import math

from livesim import (
    Model,
    age,
    arrive,
    depart,
    exponential,
    get,
    hold,
    put,
    record,
    release,
    run,
    seize,
)  # fmt: skip


def shop() -> Model:
    return (
        Model("shop")
        .resource("barber")
        .container("tank", capacity=100, initial=50)
        .process(
            "customer",
            arrive(every=exponential(mean=18)),
            get("tank"),
            seize("barber"),
            hold(exponential(mean=16)),
            release("barber"),
            put("tank"),
            record("age", age()),
            depart(),
        )
        .process("nobody", arrive(at=[1e9]), depart())
    )


def test_a_result_is_printed_as_tables_of_its_numbers() -> None:
    result = run(shop(), 2_000, seed=1)
    head, *tables = str(result).split("\n\n")
    assert head == repr(result)
    shown = {}
    for table in tables:
        columns, *rows = (line.split() for line in table.splitlines())
        assert all(len(row) == len(columns) for row in rows)
        shown |= {f"{row[0]}.{c}": cell for row in rows for c, cell in zip(columns[1:], row[1:], strict=True)}
    assert {"barber.utilization", "tank.get_wait.mean", "customer.records.age.count"} <= shown.keys()
    for path, cell in shown.items():
        value = result.value(path)
        assert cell == "-" if math.isnan(value) else math.isclose(float(cell), value, rel_tol=1e-3), path
    assert shown["nobody.wait.mean"] == "-"


def test_what_the_model_has_not_has_no_table() -> None:
    model = Model("m").process("p", arrive(every=1), depart())
    assert [table.split()[0] for table in str(run(model, 9, seed=1)).split("\n\n")] == ["<Result:", "process"]


def test_service_is_what_is_not_wait() -> None:
    """Three jobs of 2 minutes at times 0, 1, 2, by hand; and after a warm-up of half a service."""
    work = (
        Model("work")
        .resource("desk")
        .process("job", arrive(at=[0, 1, 2]), seize("desk"), hold(2), release("desk"), depart())
    )
    whole = run(work, 10, seed=1)
    assert (whole["job"].service.mean, whole["desk"].service.mean) == (2.0, 2.0)
    part = run(work, 5, seed=1, warmup=1)  # two depart; of the two grants then, the last holds the desk a minute so far
    assert part["job"].service.mean == 2.0
    assert part["desk"].service.mean == (1 + 2 + 1) / 2
    assert math.isnan(run(work, 1, seed=1)["job"].service.mean)
