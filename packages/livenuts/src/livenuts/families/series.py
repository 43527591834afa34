"""Time series: autoregression, conditional heteroscedasticity, linear Gaussian state spaces."""

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.linalg import cho_solve, solve_triangular
from numpyro.distributions import Distribution, constraints

_LOG_2_PI = math.log(2.0 * math.pi)


def _normal(deviation: Any, scale: Any) -> Any:
    """The normal log density, term by term."""
    return -0.5 * ((deviation / scale) ** 2 + _LOG_2_PI) - jnp.log(scale)


def _multivariate(deviation: Any, covariance: Any) -> Any:
    factor = jnp.linalg.cholesky(covariance)
    whitened = solve_triangular(factor, deviation, lower=True)
    return _normal(whitened, 1.0).sum() - jnp.log(jnp.diagonal(factor)).sum()


def _steps(family: str, num_steps: Any, least: int) -> int:
    if not isinstance(num_steps, int) or isinstance(num_steps, bool) or num_steps < least:
        raise ValueError(f"{family}: num_steps must be an integer of at least {least}, got {num_steps!r}")
    return num_steps


class AR(Distribution):  # type: ignore[misc]
    """Autoregression of order p: x_t - loc = sum_i coefficients[i] (x_(t-1-i) - loc) + Normal(0, scale).

    Values have shape (num_steps,). The first p are drawn from the stationary law, which `coefficients`, (..., p),
    must have (outside of that region the density is NaN or -inf), unless `initial_scale` gives them a Normal(loc,
    initial_scale) each.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "coefficients": constraints.real_vector,
        "scale": constraints.positive,
        "loc": constraints.real,
    }
    support = constraints.real_vector
    pytree_data_fields = ("coefficients", "scale", "loc", "initial_scale")

    def __init__(
        self,
        coefficients: Any,
        scale: Any = 1.0,
        num_steps: int = 1,
        loc: Any = 0.0,
        initial_scale: Any = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.coefficients = jnp.atleast_1d(coefficients)
        self.order = self.coefficients.shape[-1]
        self.scale, self.loc, self.initial_scale = scale, loc, initial_scale
        steps = _steps("AR", num_steps, self.order)
        shapes = [jnp.shape(part) for part in (scale, loc, initial_scale) if part is not None]
        batch = lax.broadcast_shapes(self.coefficients.shape[:-1], *shapes)
        super().__init__(batch, (steps,), validate_args=validate_args)

    def _initial_covariance(self) -> Any:
        """Of the first p values about `loc`, (..., p, p): the stationary one solves C = F C F' + scale^2 e e'."""
        p = self.order
        if self.initial_scale is not None:
            variance = jnp.broadcast_to(jnp.square(self.initial_scale), self.batch_shape)
            return variance[..., None, None] * jnp.eye(p)
        variance = jnp.broadcast_to(jnp.square(self.scale), self.batch_shape)[..., None, None]
        if p == 1:
            return variance / (1.0 - self.coefficients[..., None] ** 2)
        shifts = jnp.broadcast_to(jnp.eye(p - 1, p), (*self.coefficients.shape[:-1], p - 1, p))
        companion = jnp.concatenate([self.coefficients[..., None, :], shifts], axis=-2)
        squared = companion[..., :, None, :, None] * companion[..., None, :, None, :]
        system = jnp.eye(p * p) - squared.reshape(*companion.shape[:-2], p * p, p * p)
        noise = jnp.zeros((*companion.shape[:-2], p * p, 1)).at[..., 0, 0].set(1.0)
        return variance * jnp.linalg.solve(system, noise)[..., 0].reshape(companion.shape)

    def _initial_log_prob(self, first: Any) -> Any:
        covariance = self._initial_covariance()
        if self.order == 1:
            return _normal(first[..., 0], jnp.sqrt(covariance[..., 0, 0]))
        factor = jnp.linalg.cholesky(covariance)
        shape = jnp.broadcast_shapes(first.shape[:-1], factor.shape[:-2])
        factor = jnp.broadcast_to(factor, (*shape, *factor.shape[-2:]))
        whitened = solve_triangular(factor, jnp.broadcast_to(first, (*shape, self.order))[..., None], lower=True)
        logs = jnp.log(jnp.diagonal(factor, axis1=-2, axis2=-1))
        return (_normal(whitened[..., 0], 1.0) - logs).sum(axis=-1)

    def log_prob(self, value: Any) -> Any:
        apart = value - jnp.asarray(self.loc)[..., None]
        p, steps = self.order, self.event_shape[0]
        # The stationary law looks the same backwards, so the order of the first p values is of no matter.
        total = self._initial_log_prob(apart[..., :p])
        if steps == p:
            return total
        expected = sum(self.coefficients[..., i, None] * apart[..., p - 1 - i : steps - 1 - i] for i in range(p))
        return total + _normal(apart[..., p:] - expected, jnp.asarray(self.scale)[..., None]).sum(axis=-1)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        p, steps = self.order, self.event_shape[0]
        shape = (*sample_shape, *self.batch_shape)
        z = jax.random.normal(key, (steps, *shape))
        factor = jnp.linalg.cholesky(self._initial_covariance())
        first = (factor @ jnp.moveaxis(z[:p], 0, -1)[..., None])[..., 0]

        def step(past: Any, noise: Any) -> Any:
            """`past` has the newest value first."""
            new = (self.coefficients * past).sum(axis=-1) + self.scale * noise
            return jnp.concatenate([new[..., None], past[..., :-1]], axis=-1), new

        _, rest = lax.scan(step, jnp.broadcast_to(first[..., ::-1], (*shape, p)), z[p:])
        apart = jnp.concatenate([jnp.broadcast_to(first, (*shape, p)), jnp.moveaxis(rest, 0, -1)], axis=-1)
        return apart + jnp.asarray(self.loc)[..., None]


class GARCH(Distribution):  # type: ignore[misc]
    """GARCH(1, 1): x_t ~ Normal(loc, s_t), s_t^2 = constant + arch (x_(t-1) - loc)^2 + garch s_(t-1)^2.

    Values have shape (num_steps,); s_0 is `initial_scale`, by default the stationary one, which asks for
    arch + garch < 1. Bollerslev 1986.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "constant": constraints.positive,
        "arch": constraints.nonnegative,
        "garch": constraints.nonnegative,
        "loc": constraints.real,
    }
    support = constraints.real_vector
    pytree_data_fields = ("constant", "arch", "garch", "loc", "initial_scale")

    def __init__(
        self,
        constant: Any,
        arch: Any,
        garch: Any,
        num_steps: int = 1,
        loc: Any = 0.0,
        initial_scale: Any = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.constant, self.arch, self.garch = constant, arch, garch
        self.loc, self.initial_scale = loc, initial_scale
        given = [part for part in (constant, arch, garch, loc, initial_scale) if part is not None]
        batch = lax.broadcast_shapes(*map(jnp.shape, given))
        super().__init__(batch, (_steps("GARCH", num_steps, 1),), validate_args=validate_args)

    def _first(self, shape: tuple[int, ...]) -> Any:
        if self.initial_scale is None:
            variance = self.constant / (1.0 - self.arch - self.garch)
        else:
            variance = jnp.square(self.initial_scale)
        return jnp.broadcast_to(jnp.asarray(variance, float), shape)

    def log_prob(self, value: Any) -> Any:
        apart = jnp.moveaxis(value - jnp.asarray(self.loc)[..., None], -1, 0)
        shape = jnp.broadcast_shapes(apart.shape[1:], self.batch_shape)

        def step(variance: Any, last: Any) -> Any:
            new = self.constant + self.arch * last**2 + self.garch * variance
            return new, new

        first = self._first(shape)
        _, rest = lax.scan(step, first, apart[:-1])
        variances = jnp.concatenate([first[None], rest])
        return -0.5 * (apart**2 / variances + jnp.log(variances) + _LOG_2_PI).sum(axis=0)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        shape = (*sample_shape, *self.batch_shape)

        def step(variance: Any, z: Any) -> Any:
            x = jnp.sqrt(variance) * z
            return self.constant + self.arch * x**2 + self.garch * variance, x

        _, x = lax.scan(step, self._first(shape), jax.random.normal(key, (*self.event_shape, *shape)))
        return jnp.moveaxis(x, 0, -1) + jnp.asarray(self.loc)[..., None]


class LinearGaussian(Distribution):  # type: ignore[misc]
    """Observations of a linear Gaussian state space, its states integrated out by the Kalman filter.

    x_0 ~ Normal(initial_mean, initial_covariance); x_t = transition x_(t-1) + Normal(0, state_covariance);
    y_t = observation x_t + Normal(0, noise_covariance). With k states and m observed series, `transition` is (k, k),
    `observation` (m, k), and values have shape (num_steps, m). Any of them may be a random variable.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.real_matrix
    pytree_data_fields = (
        "transition",
        "observation",
        "state_covariance",
        "noise_covariance",
        "initial_mean",
        "initial_covariance",
    )

    def __init__(
        self,
        transition: Any,
        observation: Any,
        state_covariance: Any,
        noise_covariance: Any,
        initial_mean: Any,
        initial_covariance: Any,
        num_steps: int = 1,
        *,
        validate_args: bool | None = None,
    ) -> None:
        states, series = jnp.shape(transition)[-1:], jnp.shape(observation)[:1]
        expected = {
            "transition": (transition, states + states),
            "observation": (observation, series + states),
            "state_covariance": (state_covariance, states + states),
            "noise_covariance": (noise_covariance, series + series),
            "initial_mean": (initial_mean, states),
            "initial_covariance": (initial_covariance, states + states),
        }
        for name, (part, shape) in expected.items():
            if jnp.shape(part) != shape:
                raise ValueError(f"LinearGaussian: {name} must have shape {shape}, got {jnp.shape(part)}")
            setattr(self, name, jnp.asarray(part, float))
        steps = _steps("LinearGaussian", num_steps, 1)
        super().__init__((), (steps, *series), validate_args=validate_args)

    def log_prob(self, value: Any) -> Any:
        if jnp.ndim(value) > 2:
            return jax.vmap(self.log_prob)(value)

        def step(state: Any, y: Any) -> Any:
            """`state` is the prediction of x_t from y_0, ..., y_(t-1)."""
            mean, covariance = state
            innovation = y - self.observation @ mean
            cross = self.observation @ covariance
            spread = cross @ self.observation.T + self.noise_covariance
            gain = cho_solve((jnp.linalg.cholesky(spread), True), cross).T
            mean = self.transition @ (mean + gain @ innovation)
            covariance = self.transition @ (covariance - gain @ cross) @ self.transition.T + self.state_covariance
            return (mean, 0.5 * (covariance + covariance.T)), _multivariate(innovation, spread)

        _, terms = lax.scan(step, (self.initial_mean, self.initial_covariance), value)
        return terms.sum()

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        steps, series = self.event_shape
        states = self.transition.shape[-1]
        first, second, third = jax.random.split(key, 3)
        start = self.initial_mean + jax.random.normal(first, (*sample_shape, states)) @ _root(self.initial_covariance)
        moves = jax.random.normal(second, (steps - 1, *sample_shape, states)) @ _root(self.state_covariance)

        def step(x: Any, move: Any) -> Any:
            x = x @ self.transition.T + move
            return x, x

        _, rest = lax.scan(step, start, moves)
        x = jnp.concatenate([start[None], rest])
        noise = jax.random.normal(third, (steps, *sample_shape, series)) @ _root(self.noise_covariance)
        return jnp.moveaxis(x @ self.observation.T + noise, 0, -2)


def _root(covariance: Any) -> Any:
    """A symmetric square root; a state may have no noise."""
    values, vectors = jnp.linalg.eigh(covariance)
    return (vectors * jnp.sqrt(jnp.maximum(values, 0.0))) @ vectors.T
