"""Reading a run with `async for`: the same subscription, its waiting done in a thread of its own."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from .protocol import Message
from .subscription import Subscription


class AsyncSubscription:
    """An asynchronous iterator over the messages of a run, made by `Queue.asubscribe`."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"livequeue {subscription.run}")

    @property
    def cursor(self) -> str:
        """Where this reader is, as in `Subscription`."""
        return self._subscription.cursor

    @property
    def gaps(self) -> dict[str, int]:
        """Part -> number of messages missing so far."""
        return self._subscription.gaps

    @property
    def ended(self) -> bool:
        """True once the run's end has been seen."""
        return self._subscription.ended

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        subscription = self._subscription
        message = subscription.next_found()  # what was read already costs no trip to the thread
        if message is None:
            if subscription.closed:
                raise StopAsyncIteration
            message = await asyncio.get_running_loop().run_in_executor(self._thread, subscription.next_message)
        if message is None:
            self.close()
            raise StopAsyncIteration
        return message

    def close(self) -> None:
        """Stop the iteration; the thread ends when its current wait does, within seconds."""
        self._subscription.close()
        self._thread.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
