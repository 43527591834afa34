"""Two systems on common random numbers, and the best of several."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import livesim as ls
import numpy as np
import pytest
from livesim.analysis import compare_paired
from livesim_models import barbershop
from livesim_runs import late

RUN: dict[str, Any] = {"until": 3_000.0, "seed": 5}
METRIC = "customer.wait.mean"


def test_pairs_share_their_random_numbers() -> None:
    """A barber who is 5 % faster: seen in 20 pairs, not in 20 independent replications each."""
    slow, fast = barbershop(service=12.0), barbershop(service=11.4)
    found = ls.compare(slow, fast, metric=METRIC, n=20, progress=False, **RUN)
    one, other = (ls.replicate(model, 20, progress=False, **RUN).values(METRIC) for model in (slow, fast))
    assert str(found.difference) == str(compare_paired(one, other))
    assert found.different
    assert found.difference.low > 0
    assert found.correlation > 0.95
    assert (one > other).all()  # job by job the same numbers, so every single pair says it
    independent = ls.replicate(fast, 20, until=3_000.0, seed=6, progress=False).values(METRIC)
    assert 0 in compare_paired(one, independent)
    assert "differ: difference" in str(found)
    same = ls.compare(slow, slow, metric=METRIC, n=4, progress=False, **RUN)
    assert same.difference.estimate == 0.0
    assert "cannot be told apart" in str(same)


def test_one_model_with_two_sets_of_parameters() -> None:
    pair = ({"service": 12.0}, {"service": 11.4})
    found = ls.compare(barbershop(), barbershop(), metric=METRIC, n=5, params=pair, progress=False, **RUN)
    wanted = ls.compare(barbershop(service=12.0), barbershop(service=11.4), metric=METRIC, n=5, progress=False, **RUN)
    assert str(found.difference) == str(wanted.difference)


def test_the_longer_warmup_is_for_both() -> None:
    one, other = barbershop(service=9.0), barbershop(service=14.0)
    run = RUN | {"until": 20_000.0, "progress": False}
    cuts = [ls.replicate(model, 2, warmup="mser5", **run).warmup for model in (one, other)]
    for first, second in ((one, other), (other, one)):
        found = ls.compare(first, second, metric=METRIC, n=2, warmup="mser5", **run)
        assert found.first.warmup == found.second.warmup == max(cuts)


def test_a_pair_counts_only_where_neither_fails() -> None:
    services = np.array([10.0, -1.0, 10.0, 10.0])
    with pytest.warns(UserWarning, match="1 of 4 replications failed"):
        found = ls.compare(
            barbershop(), barbershop(), metric=METRIC, n=4, params=({"service": services}, None), progress=False, **RUN
        )
    assert found.difference.n == 3


def test_the_best_of_several() -> None:
    """Kim and Nelson's procedure drops what is clearly worse; workers and their number change nothing."""
    shops = {"slow": barbershop(service=14.0), "usual": barbershop(service=12.0), "fast": barbershop(service=10.0)}
    best = ls.select_best(shops, metric=METRIC, indifference=1.0, **RUN)
    assert best.name == "fast"
    assert best.replications["slow"] <= best.replications["usual"]
    assert min(best.replications.values()) == 20
    assert str(best).startswith("best: fast")
    again = ls.select_best(shops, metric=METRIC, indifference=1.0, executor=lambda: ThreadPoolExecutor(3), **RUN)
    assert again == best
    assert ls.select_best(shops, metric=METRIC, indifference=1.0, largest=True, **RUN).name == "slow"
    for name, count in best.replications.items():
        values = ls.replicate(shops[name], count, progress=False, **RUN).values(METRIC)
        assert best.means[name] == pytest.approx(values.mean())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"models": {"one": barbershop()}}, "two models or more by name"),
        ({"metric": "customer.wait"}, "is not a number; go on with one of count, mean"),
        ({"warmup": "mser5"}, "warmup must be a time, the same for all systems"),
        ({"params": {"c": {"service": 1.0}}}, "there is no system 'c'; there are: a, b"),
        ({"params": {"a": {"service": -1.0}}}, "mean must be a finite number of at least 0, got -1.0"),
        ({"models": {"a": barbershop(), "b": late()}}, "late: replication 0 failed: SimulationError: .* got -"),
        ({"indifference": 0.0}, "indifference must be above 0"),
    ],
)
def test_bad_input_to_select_best(given: dict[str, Any], words: str) -> None:
    models = {"a": barbershop(), "b": barbershop()}
    with pytest.raises((ValueError, KeyError, ls.SimulationError), match=words):
        ls.select_best(**({"models": models, "metric": METRIC, "indifference": 1.0} | RUN | given))
