"""A PyMC model's statements: its own log density and its own transforms, as JAX functions."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from livenuts.compiler.x64 import x64


class PymcParts:
    """What is read from a PyMC model, once."""

    def __init__(self, model: Any) -> None:
        from pymc.sampling.jax import get_jaxified_graph  # type: ignore[import-not-found, unused-ignore]

        discrete = [
            variable.name for variable in model.value_vars if variable.dtype.startswith(("int", "uint", "bool"))
        ]
        if discrete:
            raise ValueError(
                f"from_pymc: variable {discrete[0]!r} is discrete: NUTS samples continuous variables only; "
                "marginalise it (pymc_extras.marginalize)"
            )
        start = model.initial_point()
        self.names = [variable.name for variable in model.value_vars]
        self.start = [np.asarray(start[name], np.float64) for name in self.names]
        kept = [*model.free_RVs, *model.deterministics]
        self.kept = [variable.name for variable in kept]
        with x64():  # constants of the graph become JAX's here
            self.log_density = get_jaxified_graph(inputs=model.value_vars, outputs=[model.logp()])
            self.values = get_jaxified_graph(inputs=model.value_vars, outputs=model.replace_rvs_by_values(kept))
        self.dims = {name: tuple(dims) for name, dims in model.named_vars_to_dims.items() if None not in dims}
        self.coords = {name: list(labels) for name, labels in model.coords.items() if labels is not None}
        self.observed = {variable.name: _observed(model, variable) for variable in model.observed_RVs}

    def hidden(self, name: str) -> str:
        """What an unconstrained value is called here, apart from the variable that it stands for."""
        return f"{name} (unconstrained)"


def _observed(model: Any, variable: Any) -> np.ndarray:
    value = model.rvs_to_values[variable]
    return np.asarray(value.get_value() if hasattr(value, "get_value") else value.eval())


def run(frame: Any, parts: PymcParts) -> None:
    """Lay out PyMC's unconstrained values, add its log density (Jacobians are in it), keep its own variables."""
    from numpyro.distributions import ImproperUniform
    from numpyro.distributions.constraints import real

    values = [
        frame.rv(parts.hidden(name), ImproperUniform(real, start.shape, (), validate_args=False), None, None)
        for name, start in zip(parts.names, parts.start, strict=True)
    ]
    (total,) = parts.log_density(*values)
    frame.factor("log density", jnp.sum(total))
    for name, value in zip(parts.kept, jax.tree.leaves(list(parts.values(*values))), strict=True):
        frame.det(name, jnp.asarray(value, float), parts.dims.get(name))
