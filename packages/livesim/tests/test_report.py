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
