"""Gaussian processes, differential equations, and functions of the user's own inside expressions."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import livenuts as ln
import numpy as np
import pytest
from livenuts import dist, ref
from livenuts.compiler import kernels, odes
from livenuts.compiler.evaluate import evaluate
from livenuts.compiler.portable import NotPortable, from_plain, to_plain
from livenuts.compiler.target import compile_model
from livenuts.compiler.x64 import x64
from scipy import integrate, linalg, stats

X = np.array([0.0, 0.3, 0.3, 1.1, 2.5])
FORMS = {
    "squared_exponential": lambda r: 4.0 * np.exp(-0.5 * r**2),
    "matern12": lambda r: 4.0 * np.exp(-r),
    "matern32": lambda r: 4.0 * (1 + np.sqrt(3) * r) * np.exp(-np.sqrt(3) * r),
    "matern52": lambda r: 4.0 * (1 + np.sqrt(5) * r + 5 * r**2 / 3) * np.exp(-np.sqrt(5) * r),
    "rational_quadratic": lambda r: 4.0 / (1 + 0.5 * r**2),
}


@pytest.mark.parametrize("name", FORMS)
def test_kernels_are_their_formulas(name: str) -> None:
    """One dimension, and two with a length each; gradients are finite where places coincide."""
    kernel = kernels.TABLE[name]
    plane = np.stack([X, X[::-1]], axis=1)
    lengths = np.array([0.7, 2.0])
    with x64():
        line = kernel(X, X[:3], 2.0, 0.7)
        area = kernel(plane, plane, 2.0, lengths)
        slope = jax.grad(lambda length: jnp.sum(kernel(X, X, 2.0, length)))(0.7)
    np.testing.assert_allclose(line, FORMS[name](np.abs(X[:, None] - X[:3]) / 0.7), rtol=1e-12)
    apart = np.sqrt((((plane[:, None] - plane[None]) / lengths) ** 2).sum(-1))
    np.testing.assert_allclose(area, FORMS[name](apart), rtol=1e-12)
    assert np.isfinite(slope)


def test_kernels_that_are_not_of_distance() -> None:
    with x64():
        np.testing.assert_allclose(kernels.linear_kernel(X, X, 2.0, 1.0), 4.0 * np.outer(X - 1, X - 1))
        wave = kernels.periodic(X, X + 3.0, 2.0, 0.7, 1.5)
    np.testing.assert_allclose(wave, 4 * np.exp(-2 * (np.sin(np.pi * (X[:, None] - X) / 1.5) / 0.7) ** 2), rtol=1e-9)


@pytest.mark.parametrize("name", ["squared_exponential", "matern32", "matern52"])
def test_spectra_are_those_of_their_kernels(name: str) -> None:
    """The inverse Fourier transform of the spectrum at a distance, by quadrature; in two dimensions at distance 0."""
    with x64():
        omega = np.linspace(0.0, 4000.0, 2_000_001)
        density = np.asarray(kernels.TABLE[f"{name}_spectrum"](omega, 2.0, 0.7))
        for r in (0.0, 0.5, 2.0):
            covariance = integrate.simpson(density * np.cos(omega * r), x=omega) / np.pi
            assert covariance == pytest.approx(FORMS[name](r / 0.7), abs=2e-6)
        radius = np.stack([omega, np.zeros_like(omega)], axis=1)
        plane = np.asarray(kernels.TABLE[f"{name}_spectrum"](radius, 2.0, 0.7))
    assert integrate.simpson(plane * omega, x=omega) / (2 * np.pi) == pytest.approx(4.0, abs=1e-5)


@pytest.mark.parametrize("name", ["squared_exponential", "matern52"])
def test_hsgp_comes_near_its_kernel(name: str) -> None:
    """60 functions on a box three times as wide, length 0.5 on (0, 2.5): to 1 part in 1000; in two dimensions, too.

    Its poison: the spectrum of another length.
    """
    x = np.linspace(0.0, 2.5, 12)
    basis = ln.HSGP(x, num=60, boundary=3.0)
    corner = np.stack([x, x**2 / 2.5], axis=1)
    plane = ln.HSGP(corner, num=40, boundary=4.0)
    with x64():
        exact = np.asarray(kernels.TABLE[name](x, x, 2.0, 0.5))
        spectrum = kernels.TABLE[f"{name}_spectrum"]
        near = (basis.features * np.asarray(spectrum(basis.frequencies, 2.0, 0.5))) @ basis.features.T
        wrong = (basis.features * np.asarray(spectrum(basis.frequencies, 2.0, 0.6))) @ basis.features.T
        flat = (plane.features * np.asarray(spectrum(plane.frequencies, 2.0, 0.9))) @ plane.features.T
        exact_flat = np.asarray(kernels.TABLE[name](corner, corner, 2.0, 0.9))
    assert np.abs(near - exact).max() < 4e-3
    assert np.abs(wrong - exact).max() > 0.05
    assert np.abs(flat - exact_flat).max() < 0.03 * 4.0
    np.testing.assert_array_equal(basis.at(x), basis.features)
    with pytest.raises(ValueError, match="outside of the box"):
        basis.at([9.0])
    with pytest.raises(ValueError, match="nothing to learn"):
        ln.HSGP([1.0, 1.0])


def test_a_gaussian_process_is_a_normal_with_a_kernel() -> None:
    """The builder's density against SciPy; the conditional law against the joint one's."""
    x, y = np.array([0.0, 0.5, 1.7]), np.array([0.3, -0.2, 1.0])
    model = ln.Model("gp").data("x", x).rv("length", dist.LogNormal(0, 1)).rv("noise", dist.HalfNormal(1))
    kernel = ln.squared_exponential(ref("x"), ref("x"), scale=1.3, length=ref("length"))
    model.obs("y", dist.MultivariateNormal(0.0, kernel + ref("noise") ** 2 * np.eye(3)), y)
    assert ln.Model.from_json(model.to_json()) == model
    bound = compile_model(model)
    with x64():
        value = bound.target.evaluation(bound.data, np.array([0.2, -0.5])).terms["y"]
        here = np.asarray(kernels.squared_exponential(x, x, 1.3, np.exp(0.2)))
        whole = np.asarray(kernels.squared_exponential(np.append(x, [1.0, 2.0]), np.append(x, [1.0, 2.0]), 1.3, 0.8))
        mean, covariance = ln.gp_conditional(whole[:3, :3], whole[3:, :3], whole[3:, 3:], y, 0.1)
    covariance_here = here + np.exp(-1.0) * np.eye(3)
    assert value == pytest.approx(stats.multivariate_normal(np.zeros(3), covariance_here).logpdf(y), rel=1e-10)
    seen = whole[:3, :3] + 0.01 * np.eye(3)
    np.testing.assert_allclose(mean, whole[3:, :3] @ linalg.solve(seen, y), rtol=1e-9)
    np.testing.assert_allclose(
        covariance, whole[3:, 3:] - whole[3:, :3] @ linalg.solve(seen, whole[:3, 3:]), atol=1e-12
    )


# -- differential equations --------------------------------------------------------------------------------------------


def logistic_growth(t: Any, x: Any, rate: Any) -> Any:
    return rate * x * (1.0 - x)


def test_solutions_are_exact() -> None:
    """A decay chain by its exponential; logistic growth by its closed form, gradient included; fourth order."""
    times = np.array([0.0, 0.5, 2.0, 3.0])
    with x64():
        chain = odes.linear_ode(np.array([[-1.0, 0.0], [1.0, -0.3]]), np.array([2.0, 0.0]), times)
        growth = jax.jit(lambda r: odes.ode(logistic_growth, 0.1, times, r, steps=20))
        values, slopes = growth(1.5), jax.jacfwd(growth)(1.5)
        errors = [float(odes.ode(logistic_growth, 0.1, times, 1.5, steps=n)[-1] - values[-1]) for n in (2, 4)]
    first = 2.0 * np.exp(-times)
    second = 2.0 / (1.0 - 0.3) * (np.exp(-0.3 * times) - np.exp(-times))
    np.testing.assert_allclose(chain, np.stack([first, second], axis=1), rtol=1e-10)
    exact = 1.0 / (1.0 + 9.0 * np.exp(-1.5 * times))
    np.testing.assert_allclose(values, exact, rtol=1e-6)
    np.testing.assert_allclose(slopes, times * exact * (1.0 - exact), rtol=1e-5, atol=1e-9)
    assert 8.0 < errors[0] / errors[1] < 32.0


def test_diffrax_agrees() -> None:
    pytest.importorskip("diffrax")
    times = np.array([0.0, 0.5, 2.0, 3.0])
    with x64():
        values = jax.jit(lambda r: ln.diffrax_ode(logistic_growth, 0.1, times, r))(1.5)
    np.testing.assert_allclose(values, 1.0 / (1.0 + 9.0 * np.exp(-1.5 * times)), rtol=1e-6)


def test_what_cannot_be_solved_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two"):
        odes.ode(logistic_growth, 0.1, np.array([0.0]), 1.0)
    with pytest.raises(ValueError, match=r"got \(2, 3\) and \(3,\)"):
        odes.linear_ode(np.ones((2, 3)), np.ones(3), np.ones(2))
    with pytest.raises(TypeError, match=r"ln\.ode takes a function first"):
        ln.ode(ref("x"), 0.1, [0.0, 1.0])


# -- functions in models -----------------------------------------------------------------------------------------------


def rayleigh(x: Any, scale: Any) -> Any:
    return jnp.log(x) - 2.0 * jnp.log(scale) - 0.5 * (x / scale) ** 2


def growth(rate: float = 1.0) -> ln.Model:
    model = ln.Model("growth").rv("rate", dist.Gamma(3, 2)).rv("scale", dist.Custom(rayleigh, [rate], "positive"))
    model.det("curve", ln.ode(logistic_growth, 0.1, np.array([0.0, 1.0, 2.0]), ref("rate"), steps=5))
    return model.obs("y", dist.Normal("curve", ln.apply(jnp.exp, -ref("scale"))), [0.1, 0.3, 0.6])


def test_functions_are_parts_of_models() -> None:
    """They print by name, compare, travel by their import path, and are no JSON; another one is another program."""
    model = growth()
    assert "scale ~ Custom(log_density=rayleigh, parameters=[1.0], support=positive)" in str(model)
    assert "curve = ode(logistic_growth, 0.1, [0., 1., 2.], rate, steps=5)" in str(model)
    assert growth() == model != growth(2.0)
    assert compile_model(growth()).target is compile_model(model).target
    with pytest.raises(TypeError, match="a function is code, which is not written into JSON"):
        model.to_json()
    model = ln.Model("growth").rv("scale", dist.Custom(rayleigh, [1.0], "positive"))
    assert from_plain(to_plain(model)) == model
    with pytest.raises(NotPortable, match=r"a function of model 'local'.*no import path"):
        to_plain(ln.Model("local").rv("x", dist.Custom(lambda x: -(x**2))))
    bound = compile_model(model)
    with x64():
        value = bound.target.evaluation(bound.data, np.array([0.4])).log_density()
    assert value == pytest.approx(stats.rayleigh.logpdf(np.exp(0.4)) + 0.4, rel=1e-12)


def test_a_json_text_brings_no_function() -> None:
    """Whatever it says: a place in a list that is not there, a family that wants one, a call of one."""
    whole = json.loads(ln.Model("m").rv("x", dist.Normal(0, 1)).to_json())
    for content in (
        {"function": 0},
        {"family": "Custom", "parameters": {"options": [["log_density", {"function": 0}]]}},
        {"call": "apply", "arguments": {"tuple": [{"function": 0}]}, "options": {"options": []}},
    ):
        whole["nodes"][0]["content"] = content
        with pytest.raises(ValueError, match="not a livenuts model"):
            ln.Model.from_json(json.dumps(whole))


def test_options_may_be_expressions() -> None:
    expression = ln.matern32(ref("x"), ref("x"), length=ref("l"))
    assert evaluate(expression, {"x": X, "l": 2.0}).shape == (5, 5)
    assert ln.Model("m").data("x", X).rv("l", dist.HalfNormal(1)).det("k", expression).nodes[-1].content is expression
    with pytest.raises(ValueError, match="unknown 'l'"):
        ln.Model("m").data("x", X).det("k", expression)
