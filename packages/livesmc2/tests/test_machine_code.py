"""Machine code of models is kept on disk, made anew when anything it was made from changes, and kept safely."""

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any

import livesmc2_helpers as helpers
import numpy as np
import pytest
from livesmc2 import StateSpaceModel, log_likelihoods, models
from livesmc2.compiler import disk
from livesmc2.compiler import program as program_module
from livesmc2.compiler.identity import identity, source_digests
from livesmc2.compiler.program import Program
from numba import njit

FACTOR = 1.0


def shifted(value: float) -> float:
    return value + 1.0


def model(log_likelihood: Callable[..., Any]) -> StateSpaceModel:
    return StateSpaceModel(
        parameters=("a",),
        state=("x",),
        initial=lambda rng, theta: (0.0,),
        transition=lambda rng, x, theta, t: (0.0,),
        log_likelihood=log_likelihood,
    )


def closed(value: float) -> StateSpaceModel:
    return model(lambda y, x, theta, t: value * y)


class Workshop:
    """A folder for code, and how often it was made."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.made = folder, 0
        self.monkeypatch = monkeypatch
        monkeypatch.setattr(disk, "folders", lambda: [self.folder])
        original = disk.keep

        def keep(name: str, result: Any) -> bool:
            self.made += 1
            return original(name, result)

        monkeypatch.setattr(disk, "keep", keep)

    def call(self, of: StateSpaceModel) -> float:
        """What a fresh program says of y = 1."""
        out = np.empty(1)
        one = np.ones((1, 1))
        Program(of).likelihood_block(one, one, one, np.empty((1, 0)), 0, out)
        return float(out[0])

    def files(self) -> list[Path]:
        return sorted(self.folder.iterdir())


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    return Workshop(tmp_path / "cache", monkeypatch)


def test_code_is_kept_and_belongs_to_what_a_function_refers_to(workshop: Workshop) -> None:
    assert [workshop.call(closed(3.0)), workshop.call(closed(3.0))] == [3.0, 3.0]
    assert workshop.made == 1
    assert [workshop.call(closed(4.0)), workshop.call(closed(3.0))] == [4.0, 3.0]
    assert workshop.made == 2


def global_value(value: float) -> StateSpaceModel:
    function = lambda y, x, theta, t: FACTOR * y  # noqa: E731
    names = {**globals(), "FACTOR": value}
    return model(FunctionType(function.__code__, names))


def helper_function(value: float) -> StateSpaceModel:
    helper = lambda y: value * y  # noqa: E731
    function = lambda y, x, theta, t: shifted(y)  # noqa: E731
    return model(FunctionType(function.__code__, {**globals(), "shifted": helper}))


def compiled_helper(value: float) -> StateSpaceModel:
    helper = njit(lambda y: value * y)
    return model(lambda y, x, theta, t: helper(y))


def options_of_a_helper(value: float) -> StateSpaceModel:
    helper = njit(lambda y: 3.0 * y, fastmath=value > 3.5)
    return model(lambda y, x, theta, t: helper(y))


def default_argument(value: float) -> StateSpaceModel:
    function = lambda y, x, theta, t, k=1.0: k * y  # noqa: E731
    return model(FunctionType(function.__code__, globals(), "f", (value,)))


def kind_of_number(value: float) -> StateSpaceModel:
    number = int(value) if value == 3 else 3.0
    return model(lambda y, x, theta, t: number * y)


def array(value: float) -> StateSpaceModel:
    table = np.array([value])
    return model(lambda y, x, theta, t: table[0] * y)


def constant_in_the_code(value: float) -> StateSpaceModel:
    space: dict[str, Any] = {"__name__": __name__}
    exec(f"f = lambda y, x, theta, t: {value} * y", space)
    return model(space["f"])


def other_function(value: float) -> StateSpaceModel:
    one, other = closed(2.0), model(lambda y, x, theta, t: math.exp(y))
    return one if value == 3 else other


CHANGES = [
    closed, global_value, helper_function, compiled_helper, options_of_a_helper, default_argument, kind_of_number,
    array, constant_in_the_code, other_function,
]  # fmt: skip


@pytest.mark.parametrize("make", CHANGES)
def test_whatever_changes_a_function_changes_its_key(make: Callable[[float], StateSpaceModel]) -> None:
    first, again, changed = identity(make(3.0)), identity(make(3.0)), identity(make(4.0))
    assert first == again
    assert first.code != changed.code
    assert first.lasting


def test_what_is_reached_through_a_module_counts(workshop: Workshop) -> None:
    """Numba freezes a module's numbers; before, the module counted by its name alone."""
    scaled = model(lambda y, x, theta, t: helpers.SCALE * y)
    before = identity(scaled)
    assert workshop.call(scaled) == 2.0
    workshop.monkeypatch.setattr(helpers, "SCALE", 5.0)
    assert identity(scaled).code != before.code
    assert workshop.call(scaled) == 5.0
    through = model(lambda y, x, theta, t: helpers.twice(y))
    before = identity(through)
    workshop.monkeypatch.setattr(helpers, "twice", shifted)
    assert identity(through).code != before.code


def test_names_of_the_model_count() -> None:
    one = closed(1.0)
    names: list[dict[str, Any]] = [
        {"parameters": ("a",), "state": ("x",)},
        {"parameters": ("b",), "state": ("x",)},
        {"parameters": ("a",), "state": {"x": 1}},
        {"parameters": ("a",), "state": ("x",), "observed": ("y",)},
    ]
    digests = {identity(StateSpaceModel(**one.functions(), **some)).code for some in names}
    assert len(digests) == 4


def test_an_object_that_cannot_be_read_is_not_kept_on_disk(workshop: Workshop) -> None:
    secret = SimpleNamespace(value=3.0)
    hidden = model(lambda y, x, theta, t: y if secret is None else 2.0)
    assert not identity(hidden).lasting
    space: dict[str, Any] = {"__name__": "a_module_that_is_nowhere"}
    exec("f = lambda y, x, theta, t: y", space)
    assert workshop.call(model(space["f"])) == 1.0
    assert not workshop.folder.exists()


@pytest.mark.parametrize("part", ["processor", "settings", "numba", "python", "loop", "signature", "package"])
def test_whatever_makes_the_code_is_in_its_key(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["loop", "signature"]
    before = disk.key(*texts)
    assert disk.key(*texts) == before
    if part == "processor":
        kind = type(disk.cpu_target.target_context.codegen())
        monkeypatch.setattr(kind, "magic_tuple", lambda self: ("x86_64-unknown-linux-gnu", "generic", ""))
    elif part == "settings":
        monkeypatch.setattr(disk.config, "OPT", 1)
    elif part == "numba":
        monkeypatch.setattr(disk.numba, "__version__", "0.0")
    elif part == "python":
        monkeypatch.setattr(sys, "version", "3.99")
    elif part == "package":
        monkeypatch.setattr(disk, "SOURCES", "others")
    else:
        texts[part == "signature"] += " changed"
    assert disk.key(*texts) != before


@pytest.mark.parametrize("damage", [lambda code: code[:100], lambda code: code[:-9] + b"\0" * 9, lambda _: b""])
def test_a_damaged_file_is_made_again(workshop: Workshop, damage: Callable[[bytes], bytes]) -> None:
    workshop.call(closed(3.0))
    (file,) = workshop.files()
    content = file.read_bytes()
    file.write_bytes(damage(content))
    assert workshop.call(closed(3.0)) == 3.0
    assert workshop.made == 2
    assert len(file.read_bytes()) > 1000
    assert workshop.call(closed(3.0)) == 3.0
    assert workshop.made == 2


def test_where_nothing_can_be_written_each_process_makes_its_own(workshop: Workshop) -> None:
    workshop.folder.write_text("a file, so no folder can be made below it")
    workshop.folder = workshop.folder / "below"
    assert [workshop.call(closed(3.0)), workshop.call(closed(3.0))] == [3.0, 3.0]
    assert workshop.made == 2


def test_files_used_long_ago_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "KEPT", 3)
    for k in range(6):
        path = tmp_path / f"{k}{disk.SUFFIX}"
        assert disk._write(path, b"code")
        os.utime(path, (k, k))
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["3", "4", "5"]


PROGRAM = """
import sys
from pathlib import Path
from livesmc2.compiler import disk
disk.folders = lambda: [Path(sys.argv[1])]
from livesmc2 import models, log_likelihoods
model, _ = models.local_level()
print(log_likelihoods(model, {"sigma_level": 0.5, "sigma_y": 1.0}, [0.1, 0.4], n_x=20, threads=1)[0])
"""


def test_the_folder_is_the_one_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", "somewhere")
    assert disk.folders() == [Path("somewhere")]
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    assert disk.folders()[0] == disk.PACKAGE / "__pycache__"


def test_processes_that_start_together_and_after(workshop: Workshop) -> None:
    """Each makes the code or finds it whole; a later one, this, loads it and says the same to the bit."""
    together = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, str(workshop.folder)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = {process.communicate()[0].strip() for process in together}
    assert [path.suffix for path in workshop.files()] == [disk.SUFFIX]
    level, _ = models.local_level()
    program_module._shared.cache_clear()
    theta = {"sigma_level": 0.5, "sigma_y": 1.0}
    assert said == {str(log_likelihoods(level, theta, [0.1, 0.4], n_x=20, threads=1)[0])}
    assert workshop.made == 0


# -- by source ---------------------------------------------------------------------------------------------------------


def from_source(folder: Path, text: str) -> StateSpaceModel:
    path = folder / f"source_{abs(hash(text))}.py"
    path.write_text(text)
    space: dict[str, Any] = {"__name__": __name__}
    exec(compile(text, str(path), "exec"), space)
    return model(space["f"])


def test_a_digest_by_source_sees_what_runs_and_nothing_else(tmp_path: Path) -> None:
    def digest(text: str) -> str | None:
        return source_digests(from_source(tmp_path, text))["log_likelihood"]

    plain = digest("def f(y, x, theta, t):\n    return 2.0 * y\n")
    assert plain is not None
    same = (
        'def f(y: float, x, theta, t) -> float:\n    """Twice."""\n    # a comment\n    return (2.0\n            * y)\n'
    )
    assert digest(same) == plain
    for other in ("2 * y", "2.5 * y", "2.0 * t", "2.0 * x.x", "2.0 * y if y else y"):
        assert digest(f"def f(y, x, theta, t):\n    return {other}\n") not in (plain, None)
    two = "f, g = (lambda y, x, theta, t: {}), (lambda y, x, theta, t: {})\n"
    assert digest(two.format("y", "2 * y")) == digest(two.format("y", "3 * y"))  # two lambdas in one line
    assert digest(two.format("y", "2 * y")) != digest(two.format("2 * y", "y"))
    helped = "K = {}\ndef h(y):\n    return K * y\ndef f(y, x, theta, t):\n    return h(y)\n"
    assert digest(helped.format(1.0)) != digest(helped.format(2.0))


def test_a_function_without_a_source_has_no_digest() -> None:
    assert source_digests(constant_in_the_code(3.0))["log_likelihood"] is None
