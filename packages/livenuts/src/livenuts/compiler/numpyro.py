"""A NumPyro model's statements, taken from its effect handlers."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from numpyro import handlers
from numpyro.primitives import Messenger

from livenuts.compiler.frames import observed_log_prob


class _Statements(Messenger):  # type: ignore[misc]
    """The outermost handler: by the time a site arrives here, plates, masks and scales have had their say."""

    def __init__(self, frame: Any) -> None:
        super().__init__()
        self.frame = frame

    def process_message(self, site: dict[str, Any]) -> None:
        if site["type"] == "param":
            raise ValueError(f"numpyro.param {site['name']!r}: NUTS has no parameters to optimise; use numpyro.sample")
        if site["type"] == "plate":
            size, length = site["args"][0], site["args"][1]
            if length is not None and length < size:
                raise ValueError(
                    f"numpyro.plate {site['name']!r} subsamples {length} of {size}: NUTS needs all of the data; "
                    "leave subsample_size out"
                )
        if site["type"] == "deterministic":
            self.frame.det(site["name"], site["value"], _dims(site, jnp.shape(site["value"]), 0))
        if site["type"] != "sample":
            return
        name, distribution, scale = site["name"], site["fn"], site.get("scale")
        if site["intermediates"]:
            raise ValueError(f"sample site {name!r} has intermediates, which cannot be scored")
        if not site["is_observed"]:
            if scale is not None:
                raise ValueError(f"sample site {name!r} is latent and scaled; scale only what is observed")
            shape = (*distribution.batch_shape, *distribution.event_shape)
            site["value"] = self.frame.rv(name, distribution, None, _dims(site, shape, len(distribution.event_shape)))
        elif tuple(distribution.event_shape) == (0,):  # numpyro.factor's Unit
            self.frame.factor(name, observed_log_prob(distribution, site["value"], scale))
        else:
            site["value"] = self.frame.obs(name, distribution, site["value"], scale)


def _dims(site: dict[str, Any], shape: tuple[int, ...], event_dim: int) -> tuple[str, ...] | None:
    """The axes that are plates by their names, the others as ArviZ would name them; None where no axis is a plate."""
    names = [f"{site['name']}_dim_{axis}" for axis in range(len(shape))]
    plates = [(plate, plate.dim - event_dim) for plate in site.get("cond_indep_stack", ())]
    if not plates or any(-axis > len(shape) or shape[axis] != plate.size for plate, axis in plates):
        return None
    for plate, axis in plates:
        names[axis] = plate.name
    return tuple(names)


def run(frame: Any, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Run the model once, with every sample site answered by the frame."""
    with _Statements(frame), handlers.seed(rng_seed=jax.random.key(0)):
        function(*args, **kwargs)
