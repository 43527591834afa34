"""Every result is a message: ordered, lossless message streams on Redis or Valkey, with an embedded default.

>>> import livequeue
>>> with livequeue.connect("memory://") as queue:
...     with queue.publisher("run-1") as sink:
...         sink({"type": "demo.draw/1", "part": "chain-0", "seq": 0, "values": {"mu": 5.1}})
...         sink({"type": "demo.end/1", "part": "run", "seq": 0})
...     for message in queue.subscribe("run-1"):
...         print(message["part"], message["type"])
chain-0 demo.draw/1
run demo.end/1
"""

from .asubscription import AsyncSubscription
from .endpoint import default_url
from .errors import (
    Conflict,
    InvalidMessage,
    MessagesLost,
    ProtocolError,
    PublisherClosed,
    QueueError,
    QueueFull,
    ServerRefused,
    ServerUnavailable,
)
from .publisher import Publisher
from .queue import Queue, RunInfo, connect
from .subscription import Subscription
from .wire import decode, encode

__version__ = "0.1.0"

__all__ = [
    "AsyncSubscription",
    "Conflict",
    "InvalidMessage",
    "MessagesLost",
    "ProtocolError",
    "Publisher",
    "PublisherClosed",
    "Queue",
    "QueueError",
    "QueueFull",
    "RunInfo",
    "ServerRefused",
    "ServerUnavailable",
    "Subscription",
    "connect",
    "decode",
    "default_url",
    "encode",
]
