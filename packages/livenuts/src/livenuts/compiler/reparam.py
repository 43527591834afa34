"""How a variable is laid on the unconstrained scale: as itself, or as the standard variable that it is made of."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from numpyro.distributions import Distribution, ExpandedDistribution, Independent, Normal, StudentT, biject_to
from numpyro.distributions.transforms import AffineTransform, ComposeTransform, ExpTransform

from livenuts.model.distributions import check_reparam


def lay_out(name: str, distribution: Any, reparam: str | None) -> tuple[Any, Distribution | None]:
    """The transform from the unconstrained scale to the variable's, and the law of what it transforms.

    Centred, the law is left out: it is the variable's own density times the Jacobian. Non-centred, the transform is
    loc + scale * z, and the law is that of z.
    """
    if reparam is None:
        return biject_to(distribution.support), None
    base = distribution
    while isinstance(base, (Independent, ExpandedDistribution)):
        base = base.base_dist
    family = type(base).__name__
    check_reparam(name, family, reparam)
    transform: Any
    if family == "MultivariateNormal":
        transform, standard = _MatrixAffine(base.loc, base.scale_tril), Normal()
    elif family == "LogNormal":
        transform, standard = ComposeTransform([AffineTransform(base.loc, base.scale), ExpTransform()]), Normal()
    else:
        transform = AffineTransform(base.loc, base.scale)
        standard = StudentT(base.df) if family == "StudentT" else type(base)()
    shape = tuple(distribution.batch_shape) + tuple(distribution.event_shape)
    return transform, standard.expand(shape)


class _MatrixAffine(NamedTuple):
    """z to loc + scale_tril @ z, for any batch of vectors z."""

    loc: Any
    scale_tril: Any

    def __call__(self, z: Any) -> Any:
        return self.loc + (self.scale_tril @ z[..., None])[..., 0]

    def inv(self, value: Any) -> Any:
        matrix = jnp.broadcast_to(self.scale_tril, (*value.shape, value.shape[-1]))
        return solve_triangular(matrix, (value - self.loc)[..., None], lower=True)[..., 0]

    def inverse_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape
