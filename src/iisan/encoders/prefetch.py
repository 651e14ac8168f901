"""Prepare the next batches while one is worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Part = TypeVar("Part")
Prepared = TypeVar("Prepared")


def prefetch(prepare: Callable[[Part], Prepared], parts: Sequence[Part], workers: int = 1) -> Iterator[Prepared]:
    """Yield ``prepare(part)`` for each part, in order, `workers` parts ahead, a thread each.

    An exception of `prepare` is raised when its part is due.
    """
    ahead: deque[Future[Prepared]] = deque()
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="prefetch") as pool:
        try:
            for part in parts:
                ahead.append(pool.submit(prepare, part))
                if len(ahead) > workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:  # whoever stops early does not wait for what nobody wants any more
            for future in ahead:
                future.cancel()
