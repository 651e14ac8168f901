"""Prepare the next batch while this one is worked on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Part = TypeVar("Part")
Prepared = TypeVar("Prepared")


def prefetch(prepare: Callable[[Part], Prepared], parts: Sequence[Part]) -> Iterator[Prepared]:
    """Yield ``prepare(part)`` for each part, in order, one part ahead on a thread.

    An exception of `prepare` is raised when its part is due.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch") as pool:
        ahead = pool.submit(prepare, parts[0]) if parts else None
        for following in [*parts[1:], None]:
            if ahead is None:
                return
            prepared = ahead.result()
            ahead = pool.submit(prepare, following) if following is not None else None
            yield prepared
