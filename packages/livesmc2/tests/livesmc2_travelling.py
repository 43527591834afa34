"""A model of module-level functions, which can travel to worker processes; one form of it ends its first worker."""

import math
import os
import tempfile
from pathlib import Path
from typing import Any

from livesmc2 import StateSpaceModel
from scipy import stats

_FLAG = "LIVESMC2_TEST_FLAG"


def initial(rng: Any, theta: Any) -> Any:
    return (rng.normal(0.0, 1.0),)


def transition(rng: Any, x: Any, theta: Any, t: Any) -> Any:
    return (rng.normal(x.level, theta.sigma_level),)


def log_likelihood(y: float, x: Any, theta: Any, t: Any) -> float:
    return -0.5 * ((y - x.level) / theta.sigma_y) ** 2 - math.log(theta.sigma_y)


class DeadlyModel(StateSpaceModel):
    """Whoever unpickles it in another process for the first time ends there."""

    def __reduce__(self) -> Any:
        return _arrive, (os.getpid(), os.environ[_FLAG])


def _arrive(home: int, flag: str) -> StateSpaceModel:
    if os.getpid() != home and not Path(flag).exists():
        Path(flag).touch()
        os._exit(1)
    return model()


def reset() -> None:
    """No worker has died."""
    folder = tempfile.mkdtemp()
    os.environ[_FLAG] = str(Path(folder) / "died")


def died() -> bool:
    """Whether a worker did; the folder is deleted."""
    flag = Path(os.environ.pop(_FLAG))
    found = flag.exists()
    flag.unlink(missing_ok=True)
    flag.parent.rmdir()
    return found


def model(deadly: bool = False) -> StateSpaceModel:
    kind = DeadlyModel if deadly else StateSpaceModel
    return kind(
        parameters=("sigma_level", "sigma_y"),
        state=("level",),
        initial=initial,
        transition=transition,
        log_likelihood=log_likelihood,
        log_likelihood_bound=None,
    )


def prior() -> dict[str, Any]:
    return {"sigma_level": stats.halfnorm(scale=1.0), "sigma_y": stats.halfnorm(scale=1.0)}
