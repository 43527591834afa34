"""The compiled gradient against the traced one: what is done once, sums by group, products, exponentials."""

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import livenuts as ln
import numpy as np
import numpyro
import numpyro.distributions as nd
import pytest
from hypothesis import given, settings
from jax.extend.core import jaxpr_as_fun
from livenuts import dist, ref
from livenuts.compiler import logarithms, numeric, simplify
from livenuts.compiler.grouping import sum_groups, tables
from livenuts.compiler.programs import equations, evaluate, inlined, read
from livenuts.compiler.split import Split
from livenuts.compiler.target import Bound, compile_model
from livenuts.compiler.x64 import x64
from livenuts.runtime.program import is_native

GENERATOR = np.random.default_rng(5)
GROUPS = GENERATOR.integers(0, 6, 40)
OTHERS = GENERATOR.integers(0, 3, 40)
X = GENERATOR.normal(size=(40, 3))
Y = GENERATOR.normal(size=40)


def names(closed: Any) -> set[str]:
    return {equation.primitive.name for equation in equations(closed.jaxpr)}


def compiled_gradient(bound: Bound, position: np.ndarray) -> Any:
    return jaxpr_as_fun(bound.closed)(*jax.tree.leaves(bound.prepared), position)


def compare(model: Any, reference: Callable[[Any], Any]) -> Bound:
    """The compiled density and gradient against a log density in plain JAX, at three positions."""
    bound = compile_model(model)
    with x64():
        for position in np.random.default_rng(0).normal(size=(3, bound.target.dimension)):
            got = compiled_gradient(bound, position)
            want = jax.value_and_grad(reference)(position)
            np.testing.assert_allclose(got[0], want[0], rtol=1e-12)
            np.testing.assert_allclose(got[1], want[1], rtol=1e-11, atol=1e-11)
    return bound


# -- indexing ----------------------------------------------------------------------------------------------------------

Index = Callable[[Any, Any, Any], Any]
INDEXED: dict[str, tuple[tuple[int, ...], Index]] = {
    "a[i]": ((6,), lambda a, i, j: a[i]),
    "a[-i]": ((7,), lambda a, i, j: a[-i]),
    "a[i, :]": ((6, 3), lambda a, i, j: (a[i] * X).sum(-1)),
    "a[:, j]": ((2, 3), lambda a, i, j: a[:, j].sum(0)),
    "a[i, j]": ((6, 3), lambda a, i, j: a[i, j]),
    "a[j, :, i]": ((3, 2, 6), lambda a, i, j: a[j, :, i].sum(-1)),
    "a[i][0:40]": ((6,), lambda a, i, j: a[i.reshape(8, 5)].reshape(40)),
    "take": ((6,), lambda a, i, j: jnp.take(a, i)),
    "segment_sum": ((40,), lambda a, i, j: jax.ops.segment_sum(a, i, 6)[i]),
}


@pytest.mark.parametrize("name", INDEXED)
def test_indexing_needs_no_scatter(name: str) -> None:
    shape, index = INDEXED[name]
    size = int(np.prod(shape))

    def model(i: Any, j: Any, y: Any) -> None:
        a = numpyro.sample("a", nd.Normal(0.0, 1.0).expand(shape))
        numpyro.sample("y", nd.Normal(index(a, i, j), 0.5), obs=y)

    def reference(x: Any) -> Any:
        a = x[:size].reshape(shape)
        return jnp.sum(jax.scipy.stats.norm.logpdf(a)) + jnp.sum(
            jax.scipy.stats.norm.logpdf(Y, index(a, jnp.asarray(GROUPS), jnp.asarray(OTHERS)), 0.5)
        )

    bound = compare(ln.from_numpyro(model, GROUPS, OTHERS, Y), reference)
    assert "scatter-add" in names(bound.target.closed)
    assert is_native(bound.closed, 0)


def test_every_kind_of_model_is_served() -> None:
    builder = ln.Model("by group").data("i", GROUPS).rv("a", dist.Normal(0, 1), shape=6)
    builder.obs("y", dist.Normal(ref("a")[ref("i")], 0.5), Y)

    @ln.model
    def function(i: Any, y: Any) -> None:
        a = ln.rv("a", dist.Normal(0, 1), shape=6)
        ln.obs("y", dist.Normal(a[i], 0.5), y)

    def density(x: Any) -> Any:
        return jnp.sum(jax.scipy.stats.norm.logpdf(x)) + jnp.sum(jax.scipy.stats.norm.logpdf(Y, x[GROUPS], 0.5))

    for model in (builder, function(GROUPS, Y), ln.from_logdensity(density, np.zeros(6))):
        assert is_native(compare(model, density).closed, 0)


def test_what_a_scatter_drops_stays_dropped() -> None:
    index = np.array([0, 7, 2, 2])

    def reference(x: Any) -> Any:
        filled = x.at[index].get(mode="fill", fill_value=0.0)
        return -jnp.sum(filled**2) - jnp.sum(x.at[index].get(mode="clip") * np.arange(4.0)) - jnp.sum(x**2)

    compare(ln.from_logdensity(reference, np.zeros(5)), reference)


def test_indices_that_are_variables_of_the_position_stay_scatters() -> None:
    def reference(x: Any) -> Any:
        return -jnp.sum(x**2) + jnp.sum(x[jnp.round(x**2).astype(int) % 5])

    assert "scatter-add" in names(compare(ln.from_logdensity(reference, np.zeros(5)), reference).closed)


def test_a_large_scatter_stays() -> None:
    index = np.arange(5000) % 7

    def reference(x: Any) -> Any:
        return -jnp.sum(x**2) - jnp.sum(jnp.sin(x[index]))

    assert "scatter-add" in names(compare(ln.from_logdensity(reference, np.zeros(7)), reference).closed)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-1, 8), min_size=1, max_size=200), st.integers(0, 300), st.integers(1, 12))
def test_sums_by_group(some: list[int], more: int, num_groups: int) -> None:
    """Any groups, some of them large and some empty; and never many more places than values."""
    groups = np.array(some + [0] * more)
    made = tables(groups, num_groups)
    values = np.random.default_rng(0).normal(size=(groups.size, 2))
    inside = (groups >= 0) & (groups < num_groups)
    want = np.zeros((num_groups, 2))
    np.add.at(want, groups[inside], values[inside])
    with x64():
        np.testing.assert_allclose(sum_groups(made, values), want, atol=1e-12)
    assert sum(table.size for table in made) <= 8 * (groups.size + num_groups)


def test_one_large_group_takes_several_columns() -> None:
    groups = np.concatenate([np.arange(1000), np.zeros(100_000, int)])
    made = tables(groups, 1000)
    assert len(made) > 1
    assert sum(table.size for table in made) < 3 * groups.size


def test_a_lost_value_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poison: the last value of the largest group points at the zero."""

    def poisoned(groups: np.ndarray, num_groups: int) -> list[np.ndarray]:
        *before, last = tables(groups, num_groups)
        column = int(np.argmax((last < groups.size).sum(0)))
        last[np.flatnonzero(last[:, column] < groups.size)[-1], column] = groups.size
        return [*before, last]

    monkeypatch.setattr("livenuts.compiler.split.tables", poisoned)
    with pytest.raises(AssertionError):
        test_indexing_needs_no_scatter("a[i]")


# -- what is done once -------------------------------------------------------------------------------------------------


def poisson(x: Any, y: Any) -> None:
    b = numpyro.sample("b", nd.Normal(0.0, 1.0).expand([3]))
    numpyro.sample("y", nd.Poisson(jnp.exp(x @ b)), obs=y)


def test_new_data_are_prepared_and_reuse_the_code() -> None:
    counts = np.arange(40) % 5
    first = compile_model(ln.from_numpyro(poisson, X, counts))
    second = compile_model(ln.from_numpyro(poisson, 2 * X, counts + 1))
    assert first.target is second.target
    assert first.closed is second.closed
    assert first.shapes == second.shapes

    def reference(b: Any) -> Any:
        eta = (2 * X) @ b
        terms = jax.scipy.stats.poisson.logpmf(counts + 1, jnp.exp(eta))
        return jnp.sum(jax.scipy.stats.norm.logpdf(b)) + jnp.sum(terms)

    compare(ln.from_numpyro(poisson, 2 * X, counts + 1), reference)


def test_nothing_is_left_of_what_data_decide() -> None:
    """The Poisson model's step: no log-gamma, no logarithm of anything; the prior's constants are literals."""
    bound = compile_model(ln.from_numpyro(poisson, X, np.arange(40) % 5))
    logs = [e for e in equations(bound.closed.jaxpr) if e.primitive.name in ("log", "log1p", "lgamma")]
    assert all(e.outvars[0].aval.size == 1 for e in logs)
    assert sum(e.primitive.name == "exp" for e in equations(bound.closed.jaxpr)) == 1


def test_small_data_do_not_grow() -> None:
    """A 2000 by 2000 matrix of distances is made at every step, not kept; one of 20 by 20 is kept."""

    def density(x: Any, points: Any) -> Any:
        return -jnp.sum(x**2) - jnp.sum(jnp.cos(points[:, None] * points[None, :] * 2.0) * x[0])

    for count, most in ((2000, 2000), (20, 400)):
        points = np.linspace(0.0, 1.0, count)

        def model(points: Any) -> None:
            x = numpyro.sample("x", nd.Normal(0.0, 1.0).expand([2]))
            numpyro.factor("f", density(x, points))

        bound = compile_model(ln.from_numpyro(model, points))
        assert max(leaf.size for leaf in jax.tree.leaves(bound.prepared)) == most


@pytest.mark.parametrize("shape", [(40, 3), (3, 40), (8, 8)])
@pytest.mark.parametrize("side", ["left", "right"])
def test_products_with_a_data_matrix(shape: tuple[int, int], side: str) -> None:
    matrix = GENERATOR.normal(size=shape)
    size = shape[1] if side == "left" else shape[0]

    def product(m: Any, b: Any) -> Any:
        return m @ b if side == "left" else b @ m

    def model(m: Any) -> None:
        b = numpyro.sample("b", nd.Normal(0.0, 1.0).expand([size]))
        numpyro.factor("f", jnp.sum(jnp.sin(product(m, b))))

    def reference(b: Any) -> Any:
        return jnp.sum(jax.scipy.stats.norm.logpdf(b)) + jnp.sum(jnp.sin(product(matrix, b)))

    bound = compare(ln.from_numpyro(model, matrix), reference)
    assert [leaf.shape for leaf in bound.prepared.matrices] == [(min(shape), max(shape))]


def test_a_program_without_data() -> None:
    with x64():
        closed = jax.make_jaxpr(jax.value_and_grad(lambda x: jnp.sum(x**2)))(np.ones(3))
    split = Split(closed)
    prepared = split.prepare([])
    assert jax.tree.leaves(prepared) == []
    with x64():
        value, gradient = jaxpr_as_fun(split.rest(prepared))(np.ones(3))
    assert float(value) == 3.0
    assert gradient.tolist() == [2.0] * 3


# -- exponentials and logarithms ---------------------------------------------------------------------------------------


def test_simplified_densities_keep_their_values() -> None:
    """Logarithms and inverses of exponentials, also where an exponential would overflow; sums that are not full."""

    def density(x: Any) -> Any:
        scale = jnp.exp(x)
        total = jnp.sum(jnp.log(scale)) + jnp.sum(1.0 / scale) + jnp.sum(jnp.log(1.0 + x**2))
        rows = jnp.sum(jnp.log(2.0 + x**2).reshape(4, 5), axis=0)
        return total + jnp.sum(rows**2) + jnp.sum(jnp.log(scale[:3]) * x[:3])

    with x64():
        closed = jax.make_jaxpr(density)(np.zeros(20))
        for width in (1.0, 20.0):
            x = np.random.default_rng(0).normal(0.0, width, 20)
            got, want = (jax.value_and_grad(f)(x) for f in (simplify.simplified(closed), density))
            np.testing.assert_allclose(got[0], want[0], rtol=1e-12)
            np.testing.assert_allclose(got[1], want[1], rtol=1e-11)
        log = jax.make_jaxpr(lambda x: jnp.sum(jnp.log(jnp.exp(x))))(np.zeros(20))
        assert float(simplify.simplified(log)(np.full(20, 1000.0))) == 20_000.0


def test_a_wrong_product_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poison: products of nine factors, which may overflow where those of eight may not."""
    x = np.full(90, 1e38)
    with x64():
        np.testing.assert_allclose(logarithms.sum_log(x), np.sum(np.log(x)), rtol=1e-14)
        monkeypatch.setattr(logarithms, "_FACTORS", 9)
        assert not np.isfinite(logarithms.sum_log(x))


# -- what NumPy computes -----------------------------------------------------------------------------------------------


def test_numpy_computes_what_jax_would() -> None:
    def everything(x: Any, n: Any) -> Any:
        yes, no = (x > 0.1) & (x <= 2.0), (x < -0.1) | (x >= 1.5)
        return [
            jax.lax.abs(x), x + n, jax.lax.add(x, x), yes, no, n == 3, n != 3, jnp.exp(x), jnp.log(x), jnp.log1p(x),
            jnp.maximum(x, 0.5), jnp.minimum(x, 0.5), x * n, -n, jnp.sqrt(x), jax.lax.square(x), x - 1.0, x / 3.0,
            x**-2, n.astype(float), x.sum(0), x.sum((0, 1)), x.reshape(4, 3), x[1:3, ::2], x[:1, 0], x.T,
            jnp.where(yes, x, n), jnp.where(n < 0, n + 4, n), jnp.broadcast_to(x[0], (2, 3, 4)), n > 7,
            jax.lax.broadcast_in_dim(x, (3, 2, 4), (0, 2)), logarithms.log_gamma(jax.lax.abs(x) + 0.1),
        ]  # fmt: skip

    x, n = GENERATOR.normal(size=(3, 4)), GENERATOR.integers(-3, 9, (3, 4))
    with x64(), np.errstate(all="ignore"):
        jaxpr = inlined(jax.make_jaxpr(everything)(x, n))
        known, seen = dict(zip(jaxpr.invars, (x, n), strict=True)), set()
        for equation in jaxpr.eqns:
            values = [read(known, atom) for atom in equation.invars]
            got, want = numeric.evaluate_numerically(equation, values), evaluate(equation, values)
            if got is not None:
                seen.add(equation.primitive.name)
                for one, other in zip(got, want, strict=True):
                    assert (one.dtype, one.shape) == (other.dtype, other.shape), equation
                    np.testing.assert_allclose(one, other, rtol=1e-14, err_msg=str(equation))
            known.update(zip(equation.outvars, want, strict=True))
    tables = (numeric._FUNCTIONS, numeric._SHAPING, numeric._OF_FLOATS)
    assert {name for table in tables for name in table} - {"add_any"} <= seen
