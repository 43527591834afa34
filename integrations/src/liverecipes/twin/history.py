"""What the first shifts teach, all machines together: a hierarchical model, by NUTS.

Machines of one line are somewhat alike, which helps where a machine failed twice, or never. Means are log-normal around
a common one; of the data, sums are enough, so that the model's shapes do not depend on how much was seen.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import livenuts as ln
import numpy as np
from jax.scipy.special import gammaln
from livenuts import dist

from .track import Belief
from .watch import Lesson, Shift


def total(shifts: Sequence[Shift]) -> dict[str, Lesson]:
    """All that shifts taught."""
    found = {name: Lesson() for name in shifts[0].lessons}
    for shift in shifts:
        for name, lesson in shift.lessons.items():
            so_far = found[name]
            so_far.count += lesson.count
            so_far.total += lesson.total
            so_far.logs += lesson.logs
    return found


@ln.model
def line(service: Any, up: Any, down: Any, every: Any) -> None:
    """service (machine, 3), up and down (machine, 2), every (2,): counts, minutes, sums of logarithms."""
    machines = service.shape[0]

    def alike(name: str, around: float) -> Any:
        center = ln.rv(f"{name}.center", dist.Normal(around, 1.5))
        spread = ln.rv(f"{name}.spread", dist.HalfNormal(0.7))
        z = ln.rv(f"{name}.z", dist.Normal(0.0, 1.0), shape=machines)
        return ln.det(f"{name}.level", center + spread * z)

    def exponential(seen: Any, level: Any) -> Any:
        return jnp.sum(-seen[..., 0] * level - seen[..., 1] * jnp.exp(-level))

    level = alike("service", np.log(5.0))
    log_shape = ln.rv("log_shape", dist.Normal(np.log(4.0), 1.0), shape=machines)
    k = jnp.exp(log_shape)
    count, minutes, logs = service.T
    per_service = count * (k * (log_shape - level) - gammaln(k)) + (k - 1) * logs - k * minutes * jnp.exp(-level)
    ln.factor("services", jnp.sum(per_service))
    ln.factor("failures", exponential(up, alike("up", np.log(300.0))))
    ln.factor("repairs", exponential(down, alike("down", np.log(15.0))))
    ln.factor("jobs", exponential(every, ln.rv("every.level", dist.Normal(np.log(5.0), 2.0))))


def learn(
    shifts: Sequence[Shift],
    names: Sequence[str],
    seed: int,
    *,
    sink: Callable[[dict[str, Any]], object] | None = None,
    num_samples: int = 500,
) -> dict[str, Belief]:
    """The posterior of every parameter after some shifts, as normal laws of logarithms, by parameter."""
    taught = total(shifts)

    def rows(what: str, width: int) -> Any:
        lessons = [taught[f"{name}.{what}"] for name in names]
        return np.array([[lesson.count, lesson.total, lesson.logs][:width] for lesson in lessons], float)

    every = np.array([taught["every"].count, taught["every"].total], float)
    target = line(rows("service", 3), rows("up", 2), rows("down", 2), every)
    draws = ln.sample(
        target, num_warmup=500, num_samples=num_samples, num_chains=2, seed=seed, sink=sink, progress=False
    ).draws

    def law(values: Any) -> tuple[float, float]:
        return float(np.mean(values)), float(np.std(values, ddof=1))

    beliefs = {"every": Belief(law(draws["every.level"]))}
    for k, name in enumerate(names):
        beliefs[f"{name}.service"] = Belief(law(draws["service.level"][..., k]), law(draws["log_shape"][..., k]))
        beliefs[f"{name}.up"] = Belief(law(draws["up.level"][..., k]))
        beliefs[f"{name}.down"] = Belief(law(draws["down.level"][..., k]))
    return beliefs
