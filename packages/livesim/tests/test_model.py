"""A model is data: it prints, compares, saves as JSON, and draws itself."""

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import livesim_models
import pytest
from livesim import Model, arrive, assign, decide, depart, exponential, hold, label, log, param, release, seize
from livesim.compiler.table import compile_model


@pytest.mark.parametrize("build", livesim_models.EVERY)
def test_a_model_survives_json(build: Callable[[], Model], tmp_path: Path) -> None:
    model = build()
    model.save(tmp_path / "model.json")
    again = Model.load(tmp_path / "model.json")
    assert again == model
    assert str(again) == str(model)
    for table, other in zip(compile_model(model)[0], compile_model(again)[0], strict=True):
        assert table.tobytes() == other.tobytes()


def test_models_differ_by_any_number() -> None:
    assert livesim_models.barbershop() == livesim_models.barbershop()
    assert livesim_models.barbershop() != livesim_models.barbershop(service=16.5)
    assert livesim_models.barbershop() != "barbershop"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "livesim.model/9"}, "this version reads 'livesim.model/1'"),
        ({"processes": [{"name": "p", "steps": [{"verb": "eval", "code": "1"}]}]}, "unknown verb 'eval'"),
        ({"processes": [{"name": "p", "steps": [{"verb": "arrive", "every": -1}]}]}, "every must be 0 or more"),
        ({"processes": [{"name": "p", "steps": [{"verb": "arrive", "every": {"call": "add", "arguments": [1]}}]}]},
         "no function 'add' of 1 arguments"),
        ({"processes": [{"name": "p", "steps": [{"verb": "arrive", "every": {"state": "passwords", "of": ""}}]}]},
         "unknown value"),
        ({"resources": 3}, "not a livesim model"),
    ],
)  # fmt: skip
def test_other_texts_are_refused(change: dict[str, object], words: str) -> None:
    whole = json.loads(livesim_models.barbershop().to_json()) | change
    with pytest.raises(ValueError, match=words):
        Model.from_json(json.dumps(whole))


def test_describe_is_a_table_with_the_numbers_of_steps() -> None:
    model = Model("shop").resource("barber")
    model.process(
        "customer",
        arrive(every=exponential(mean=18)),
        label("again"),
        seize("barber"),
        hold(param("service", 16.0)),
        release("barber"),
        decide(0.1, "again"),
        depart(),
    )
    assert str(model).splitlines() == [
        "model 'shop'",
        "parameters: service = 16",
        "  resource 'barber': capacity=1, discipline=fifo",
        "",
        "process 'customer'",
        "    1  arrive    every=exponential(mean=18)",
        "    2  label     name='again'",
        "    3  seize     ['barber']",
        "    4  hold      param('service', 16)",
        "    5  release   ['barber']",
        "    6  decide    0.1: again  -> 2",
        "    7  depart",
    ]


@pytest.mark.parametrize("build", livesim_models.EVERY)
def test_a_diagram_is_an_image_of_every_step(build: Callable[[], Model]) -> None:
    model = build()
    image = ElementTree.fromstring(model.diagram())
    steps = sum(len(process.steps) for process in model.processes.values())
    background, *boxes = image.findall("{http://www.w3.org/2000/svg}rect")
    assert background.attrib == {"width": "100%", "height": "100%", "fill": "#ffffff"}
    assert len(boxes) == steps


def test_names_are_escaped_in_a_diagram() -> None:
    model = Model("<script>").process("a&b", arrive(every=1), assign(x=1), depart())
    assert "<script>" not in model.diagram()
    ElementTree.fromstring(model.diagram())


def test_parameters_and_numbers_fold_into_the_program() -> None:
    """An expression of numbers and parameters is a number when the model runs: it costs nothing there."""
    model = Model("m").process("p", arrive(every=1), hold(2 * param("a", 3.0) + log(param("b", 1.0))), depart())
    program, _ = compile_model(model, {"a": 5})
    assert program.bytecode.size == 0
    assert program.parameters[program.code[0, 1], 0] == 10.0
