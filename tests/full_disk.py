"""A disk that is full: calls of the system that fail as they do on one, and files that cannot grow."""

from __future__ import annotations

import errno
import io
import itertools
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@contextmanager
def full_from(step: int) -> Iterator[list[str]]:
    """Let every call that needs room fail from the k-th on (counted from 0); removing works, as it does on a full disk.

    Yields:
        Names of the calls that failed.
    """
    counter = itertools.count()
    failed: list[str] = []

    def needs_room(name: str, original: Callable[..., Any], writes: Callable[..., bool]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if writes(*args, **kwargs) and next(counter) >= step:
                failed.append(name)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(args[0]))
            return original(*args, **kwargs)

        return call

    always: Callable[..., bool] = lambda *args, **kwargs: True  # noqa: E731
    calls: list[tuple[Any, str, Callable[..., bool]]] = [
        (os, "fsync", always),
        (os, "replace", always),
        (os, "rename", always),
        (os, "mkdir", always),
        (os, "link", always),
        (os, "open", lambda path, flags, *rest, **options: bool(flags & WRITING)),
        (io, "open", lambda file, mode="r", *rest, **options: any(letter in mode for letter in "wxa+")),
        (pq, "write_table", always),
    ]
    with ExitStack() as stack:
        for owner, name, writes in calls:
            stack.enter_context(patch.object(owner, name, needs_room(name, getattr(owner, name), writes)))
        yield failed


@contextmanager
def files_of_at_most(n_bytes: int) -> Iterator[None]:
    """Let every write beyond a size fail, in whatever language it is made."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
