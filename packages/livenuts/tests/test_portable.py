"""Models as plain data: rebuilt in another process they are the same program over the same data."""

import functools
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import jax.numpy as jnp
import livenuts as ln
import livenuts_portable
import numpy as np
import pytest
from livenuts.compiler.portable import NotPortable, from_plain, to_plain
from livenuts.runtime.checkpoint import decode, encode
from livenuts_portable import MODELS, sampled, sampled_from_bytes


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize("name", MODELS)
def test_the_same_digest_and_the_same_bits_in_another_process(elsewhere: ProcessPoolExecutor, name: str) -> None:
    data = encode(to_plain(MODELS[name]))
    assert elsewhere.submit(sampled_from_bytes, data).result(120) == sampled(MODELS[name])


def test_other_data_would_show() -> None:
    """Poison: the last bit of one observation."""
    plain = to_plain(MODELS["builder"])
    plain["values"] = {**plain["values"], "y": np.nextafter(plain["values"]["y"], np.inf)}
    assert sampled_from_bytes(encode(plain))[0] != sampled(MODELS["builder"])[0]


def test_a_builder_model_comes_back_equal() -> None:
    model = MODELS["builder"]
    again = from_plain(decode(encode(to_plain(model))))
    assert again.skeleton()["nodes"] == model.skeleton()["nodes"]
    assert again.coords == {"column": ["a", "b", "c"]}
    assert all(np.array_equal(again.values[name], values) for name, values in model.values.items())


def local() -> Any:
    def density(x: Any) -> Any:
        return -0.5 * jnp.sum(x**2)

    return density


class Density:
    def __call__(self, x: Any) -> Any:
        return -0.5 * jnp.sum(x**2)


shadowed = livenuts_portable.banana


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (ln.from_logdensity(local(), np.zeros(2)), "no import path.*top level of a module.*functools.partial"),
        (ln.from_logdensity(lambda x: -0.5 * jnp.sum(x**2), np.zeros(2)), "the log density is <function <lambda>"),
        (ln.from_logdensity(Density(), np.zeros(2)), "no import path"),
        (ln.from_numpyro(livenuts_portable.poisson, threading.Lock(), {}, rate=1.0), "argument 0 is a lock"),
        (livenuts_portable.regression(np.zeros((2, 3)), {"deep": [object()]}), r"'y'\['deep'\] is a object"),
        (ln.from_logdensity(functools.partial(local(), 1), np.zeros(2)), "no import path"),
        (ln.from_logdensity(functools.partial(max, object()), np.zeros(2)), "is a object"),
    ],
)
def test_what_cannot_travel_is_named(model: Any, words: str) -> None:
    with pytest.raises(NotPortable, match=words):
        to_plain(model)


def test_a_function_that_its_path_does_not_lead_to_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(livenuts_portable, "banana", lambda x: x)
    with pytest.raises(NotPortable, match="importing livenuts_portable:banana does not give"):
        to_plain(ln.from_logdensity(shadowed, np.zeros(2)))


def test_a_module_that_is_not_there_is_named() -> None:
    plain = to_plain(MODELS["log density"])
    plain["function"]["function"] = "livenuts_elsewhere:banana"
    with pytest.raises(NotPortable, match="cannot import livenuts_elsewhere:banana here"):
        from_plain(plain)
