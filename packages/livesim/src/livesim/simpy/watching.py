"""How a resource of SimPy is watched: it tells monitors what its users and queues do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import simpy

if TYPE_CHECKING:
    from livesim.simpy.environment import Environment

Tell = Callable[[float], None]


def watch(env: Environment, name: str, resource: Any) -> None:
    """Have a resource, container or store tell its monitors.

    SimPy's documented way to monitor: the queues and the two methods that serve them are replaced in this one object.
    An event joins a queue when it is made, even if it is served at once, so its wait begins there.
    """
    if isinstance(resource, simpy.Resource):
        held, queues, waits = f"{name}.busy", {"put": f"{name}.queue"}, {"put": f"{name}.wait"}
    else:
        held = f"{name}.level"
        queues = {side: f"{name}.{side}_queue" for side in ("put", "get")}
        waits = {side: f"{name}.{side}_wait" for side in ("put", "get")}

    def content() -> float:
        if isinstance(resource, simpy.Resource):
            return len(resource.users)
        return resource.level if isinstance(resource, simpy.Container) else len(resource.items)

    tell = env.gauge(held)
    tell(content())
    for side, path in queues.items():
        setattr(resource, f"{side}_queue", _watched(env, getattr(resource, f"{side}_queue"), env.gauge(path)))
    if isinstance(resource, simpy.Resource):
        resource.queue = resource.put_queue
    for side in ("put", "get"):
        wait = env.tally(waits[side]) if side in waits else None
        setattr(resource, f"_do_{side}", _serving(env, getattr(resource, f"_do_{side}"), tell, content, wait))


def _serving(
    env: Environment, serve: Callable[[Any], Any], tell: Tell, content: Callable[[], float], wait: Tell | None
) -> Callable[[Any], Any]:
    """The method that serves an event of a queue, and tells what is held after it, and how long the event waited."""

    def served(event: Any) -> Any:
        proceed = serve(event)
        tell(content())
        if wait is not None and event.triggered:
            wait(env.now - event.asked)
        return proceed

    return served


def _watched(env: Environment, queue: Any, tell: Tell) -> Any:
    """A queue of the same kind with the same content that tells its length."""
    kind: Any = type(queue)

    class Watched(kind):  # type: ignore[misc]
        def append(self, event: Any) -> None:
            event.asked = env.now
            super().append(event)
            tell(len(self))

        def pop(self, *at: Any) -> Any:
            event = super().pop(*at)
            tell(len(self))
            return event

        def remove(self, event: Any) -> None:
            super().remove(event)
            tell(len(self))

    watched: Any = Watched()
    if hasattr(queue, "maxlen"):
        watched.maxlen = queue.maxlen
    for event in queue:
        watched.append(event)
    return watched


__all__ = ["watch"]
