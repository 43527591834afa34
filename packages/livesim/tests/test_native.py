"""Machine code is made anew when any of its sources changes, and kept safely."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from ctypes import CFUNCTYPE, c_int64
from pathlib import Path

import numpy as np
import pytest
from livesim.native import objects
from livesim.phold import phold


class Workshop:
    """A package of two sources, a folder for object code, and how often it was made."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.cache, self.made = root / "package", root / "cache", 0
        (self.root / "native").mkdir(parents=True)
        (self.root / "native" / "objects.py").write_text("")
        self.edit("loop.py", "a")
        self.edit("native/helper.py", "b")
        self.monkeypatch = monkeypatch
        monkeypatch.setattr(objects, "PACKAGE", self.root)
        monkeypatch.setenv("NUMBA_CACHE_DIR", str(self.cache))

    def edit(self, name: str, text: str) -> None:
        (self.root / name).write_text(text)

    def call(self, value: int = 0) -> int:
        """What a fresh process would get: the value with which the code was made."""
        self.monkeypatch.setattr(objects, "_addresses", {})

        def make() -> tuple[str, str]:
            self.made += 1
            return f"define i64 @answer() {{ ret i64 {value} }}", "answer"

        return int(CFUNCTYPE(c_int64)(objects.address("answer", ("loop.py", "native"), make))())

    def files(self) -> list[Path]:
        return sorted(self.cache.iterdir())


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    return Workshop(tmp_path, monkeypatch)


def test_code_is_kept_until_a_source_changes(workshop: Workshop) -> None:
    """The size and the time of the changed file are as before, and it is not the file of the entry."""
    assert [workshop.call(1), workshop.call(2)] == [1, 1]
    helper = workshop.root / "native" / "helper.py"
    before = helper.stat()
    workshop.edit("native/helper.py", "c")
    os.utime(helper, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert [workshop.call(3), workshop.call(4)] == [3, 3]
    workshop.edit("native/new.py", "")
    assert workshop.call(5) == 5
    assert workshop.made == 3
    assert len(workshop.files()) == 1  # what earlier sources gave is gone


@pytest.mark.parametrize("damage", [lambda code: code[:100], lambda code: code[:-9] + b"\0" * 9, lambda _: b""])
def test_a_damaged_file_is_made_again(workshop: Workshop, damage: Callable[[bytes], bytes]) -> None:
    workshop.call(1)
    (file,) = workshop.files()
    content = file.read_bytes()
    file.write_bytes(damage(content))
    assert workshop.call(1) == 1
    assert workshop.made == 2
    assert file.read_bytes() == content


def test_where_nothing_can_be_written_each_process_makes_its_own(workshop: Workshop) -> None:
    workshop.cache.write_text("a file, so no folder can be made below it")
    workshop.monkeypatch.setenv("NUMBA_CACHE_DIR", str(workshop.cache / "below"))
    assert [workshop.call(1), workshop.call(2)] == [1, 2]


def test_code_that_needs_what_the_process_lacks_is_refused(workshop: Workshop) -> None:
    workshop.monkeypatch.setattr(objects, "_addresses", {})
    text = "declare i64 @nowhere()\ndefine i64 @answer() { %x = call i64 @nowhere()\n ret i64 %x }"
    with pytest.raises(ImportError, match="no \\['nowhere'\\] in this process"):
        objects.address("answer", ("loop.py",), lambda: (text, "answer"))


def test_a_routine_that_may_raise_is_refused(workshop: Workshop) -> None:
    """Nobody would see the exception: routines have no status."""
    from livesim.native.routines import build
    from numba import types

    def doubtful(x: int) -> int:
        return (1, 2)[x]

    workshop.monkeypatch.setattr(objects, "_addresses", {})
    with pytest.raises(TypeError, match="may raise an exception"):
        objects.address("doubtful", ("loop.py",), lambda: build(doubtful, types.int64(types.int64)))


ANSWER = "import sys; from livesim.phold import phold; print(phold(20, 4, until=50.0).events, 'numba' in sys.modules)"


def answers(package: Path, cache: Path, count: int = 1) -> list[str]:
    """What fresh processes that start together say."""
    environment = {**os.environ, "PYTHONPATH": str(package), "NUMBA_CACHE_DIR": str(cache)}
    started = [
        subprocess.Popen([sys.executable, "-c", ANSWER], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    return [process.communicate()[0].strip() for process in started]


def test_an_edited_callee_changes_what_runs(tmp_path: Path) -> None:
    """By several processes at once; from kept code, without Numba; by Numba again once a source has changed."""
    truth = phold(20, 4, until=50.0, engine="reference").events
    shutil.copytree(objects.PACKAGE, tmp_path / "livesim", ignore=shutil.ignore_patterns("__pycache__"))
    assert set(answers(tmp_path, tmp_path / "cache", 3)) <= {f"{truth} True", f"{truth} False"}
    assert [file.suffix for file in (tmp_path / "cache").iterdir()] == [".o"]
    assert answers(tmp_path, tmp_path / "cache") == [f"{truth} False"]
    callee = tmp_path / "livesim" / "random" / "compiled.py"
    source = callee.read_text()
    assert "2.0**-52 + 2.0**-53" in source
    callee.write_text(source.replace("2.0**-52 + 2.0**-53", "2.0**-52 * 0.5 + 2.0**-53"))  # uniforms below one half
    (changed,) = answers(tmp_path, tmp_path / "cache")
    assert changed.endswith("True")
    assert int(changed.split()[0]) < truth


def test_phold_is_equal_in_both_engines() -> None:
    for settings in (
        {"processes": 1, "pings": 1, "until": 30.0},
        {"processes": 3, "pings": 5, "remote": 1.0, "until": 40.0, "seed": 9},
        {"processes": 50, "pings": 20, "remote": 0.1, "lookahead": 0.3, "mean": 0.2, "until": 9.0, "seed": 2**40},
        {"processes": 400, "pings": 2, "lookahead": 5.0, "mean": 1e-3, "until": 30.0},
        {"processes": 7, "pings": 3, "until": 0.0},
    ):
        one, other = phold(**settings), phold(**settings, engine="reference")
        assert one[:2] == other[:2], settings
        np.testing.assert_array_equal(one.handled, other.handled)


def test_phold_has_as_many_events_as_it_should() -> None:
    """Each ping is a Poisson process of rate 1 and an event at 0; 5 standard deviations, false alarm 6e-7."""
    expected = 1000 * 16 * 101
    found = phold(until=100.0, seed=4).events
    assert abs(found - expected) < 5 * (16_000 * 100) ** 0.5
    assert abs(phold(until=100.0, seed=4, mean=1.02).events - expected) > 5 * (16_000 * 100) ** 0.5  # poison


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"processes": 0}, "processes must be a whole number of at least 1, got 0"),
        ({"pings": 1.5}, "pings must be a whole number"),
        ({"processes": 2**22, "pings": 4}, "at most 16777215 pings"),
        ({"remote": 1.5}, "got remote=1.5"),
        ({"mean": 0.0}, "mean=0.0"),
        ({"engine": "fast"}, "engine must be 'compiled' or 'reference', got 'fast'"),
    ],
)
def test_phold_refuses_what_cannot_be(given: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        phold(**given)  # type: ignore[arg-type]
