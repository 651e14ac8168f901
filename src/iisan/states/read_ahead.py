"""Having rows of a mapped shard read from the disk, many at a time.

A mapped page that is not in memory is read when it is touched, and whoever touches it waits: one read after the other,
which leaves a disk mostly idle. Here the kernel is told of all of them first.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from iisan.states.shard_file import StateArray

Rows = npt.NDArray[np.int64]


def is_in_memory(shard: StateArray, row: int) -> bool:
    """Whether the beginning of a row can be read without the disk; False where that cannot be found out."""
    if not isinstance(shard, np.memmap):
        return True
    try:
        with _opened(shard) as file:
            return os.preadv(file, [bytearray(1)], _place(shard, row), os.RWF_NOWAIT) == 1
    except (OSError, AttributeError):  # it would have to wait, or the system has no such question
        return False


def read_ahead(shard: StateArray, rows: Rows) -> None:
    """Ask for rows to be read into memory, without waiting for them.

    Where the system has no such request, or the file was taken away, nothing happens.

    Args:
        shard: As of :func:`~iisan.states.shard_file.map_shard`.
        rows: ``[n]`` of it, ascending, at least one.
    """
    if not isinstance(shard, np.memmap) or not hasattr(os, "posix_fadvise"):
        return
    with contextlib.suppress(OSError), _opened(shard) as file:
        cuts = np.flatnonzero(np.diff(rows) > 1)  # between stretches of rows that follow each other
        firsts, lasts = rows[[0, *(cuts + 1)]].tolist(), rows[[*cuts, -1]].tolist()
        for first, last in zip(firsts, lasts, strict=True):
            size = (last - first + 1) * shard.strides[0]
            os.posix_fadvise(file, _place(shard, first), size, os.POSIX_FADV_WILLNEED)


@contextlib.contextmanager
def _opened(shard: np.memmap[tuple[int, ...], np.dtype[np.generic]]) -> Iterator[int]:
    # Anew each time: a store may have more shards than a process may have files open.
    file = os.open(str(shard.filename), os.O_RDONLY)
    try:
        yield file
    finally:
        os.close(file)


def _place(shard: np.memmap[tuple[int, ...], np.dtype[np.generic]], row: int) -> int:
    return int(shard.offset) + row * shard.strides[0]
