"""The errors of livequeue: each names the run, the part or the server, and what would be right."""


class QueueError(Exception):
    """Base class of every error that livequeue raises on purpose."""


class InvalidMessage(QueueError, ValueError):
    """A message given to a publisher breaks the message contract; nothing was sent."""


class ProtocolError(QueueError, ValueError):
    """Bytes read from a server (or given to `decode`, or a cursor) are not what the protocol allows."""


class ServerUnavailable(QueueError, ConnectionError):
    """The server cannot be reached, or did not answer before the deadline."""


class ServerRefused(QueueError):
    """The server answered with an error that waiting does not mend (no permission, a policy of eviction)."""


class QueueFull(QueueError, MemoryError):
    """The server's memory bound is reached: nothing of the batch was stored. Make room, and go on."""


class Conflict(QueueError):
    """Another message is stored under the same run, part and seq: a second writer, or a reused run id."""


class MessagesLost(QueueError):
    """A lossless part cannot be continued without a hole: the error names the part and the missing seqs."""


class PublisherClosed(QueueError):
    """The publisher was closed before this call."""
