"""Work besides ranking (search, explanations, pictures) in a few threads, with bounded waiting."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from iisan.serving.refusals import Overloaded

Given = ParamSpec("Given")
Result = TypeVar("Result")


class SideWork:
    """A few threads for what takes longer than an event loop may be held.

    Args:
        threads: How many.
        waiting: Calls in hand at most, those that run included.
        seconds: How long a caller waits.
    """

    def __init__(self, threads: int, waiting: int, seconds: float) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="side-work")
        self._room = threading.BoundedSemaphore(waiting)
        self._waiting = waiting
        self._seconds = seconds

    async def run(self, function: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result:
        """Calls a function in a thread.

        Raises:
            Overloaded: Too many calls are in hand.
            TimeoutError: It took too long; it runs on, and its place is taken until it is done.
        """
        if not self._room.acquire(blocking=False):
            raise Overloaded(self._waiting)
        try:
            future = self._threads.submit(function, *args, **kwargs)
        except RuntimeError:  # The service is stopping.
            self._room.release()
            raise Overloaded(self._waiting) from None
        future.add_done_callback(lambda _: self._room.release())
        async with asyncio.timeout(self._seconds):
            return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Ends the threads; what waits is dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)
