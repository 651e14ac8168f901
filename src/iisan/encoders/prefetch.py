"""Prepare the next batches while one is worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Part = TypeVar("Part")
Prepared = TypeVar("Prepared")


def prefetch(
    prepare: Callable[[Part], Prepared],
    parts: Iterable[Part],
    workers: int = 1,
    abandon: Callable[[], None] | None = None,
) -> Generator[Prepared, None, None]:
    """Yield ``prepare(part)`` for each part, in order, `workers` parts ahead, a thread each.

    An exception of `prepare` is raised when its part is due.

    Args:
        prepare: Is called in the threads.
        parts: What to prepare.
        workers: Threads.
        abandon: Is called where calls still run whose parts are not wanted any more (the generator is closed,
            interrupted, or a part failed), to make them end; they are waited for.
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
        except BaseException:  # GeneratorExit and interruptions too
            running = [future for future in ahead if not (future.cancel() or future.done())]
            if running and abandon is not None:
                abandon()
            raise
