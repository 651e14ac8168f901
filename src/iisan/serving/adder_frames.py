"""What the processes that add items say to each other over pipes: JSON and bytes, never a pickle."""

from __future__ import annotations

import asyncio
import json
import struct
from dataclasses import dataclass, field
from typing import Any, BinaryIO

_LENGTH = struct.Struct("!I")
# A frame's JSON holds the texts of one item; pictures are blobs.
LONGEST_HEAD = 16 << 20
LONGEST_BLOBS = 1 << 31


class FrameError(Exception):
    """What came is no frame; the other side is to be given up."""


@dataclass(frozen=True)
class Frame:
    """One message.

    Attributes:
        head: Plain data.
        blobs: Bytes that belong to it.
    """

    head: dict[str, Any]
    blobs: list[bytes] = field(default_factory=list)


def write_frame(stream: BinaryIO, frame: Frame) -> None:
    """Sends one frame."""
    for part in _parts(frame):
        stream.write(part)
    stream.flush()


def read_frame(stream: BinaryIO) -> Frame | None:
    """The next frame, None where the other side has closed.

    Raises:
        FrameError: The stream ends within a frame, or is none.
    """
    start = stream.read(_LENGTH.size)
    if not start:
        return None
    head, sizes = _head(_whole(stream, _length_of(start)))
    return Frame(head, [_whole(stream, size) for size in sizes])


async def write_frame_async(stream: asyncio.StreamWriter, frame: Frame) -> None:
    """Sends one frame."""
    for part in _parts(frame):
        stream.write(part)
        await stream.drain()


async def read_frame_async(stream: asyncio.StreamReader) -> Frame:
    """The next frame.

    Raises:
        FrameError: The stream ends, or is none.
    """
    try:
        head, sizes = _head(await stream.readexactly(_length_of(await stream.readexactly(_LENGTH.size))))
        return Frame(head, [await stream.readexactly(size) for size in sizes])
    except asyncio.IncompleteReadError as error:
        raise FrameError("the stream ended") from error


def _parts(frame: Frame) -> list[bytes]:
    head = json.dumps({"sizes": [len(blob) for blob in frame.blobs], "head": frame.head}).encode("ascii")
    return [_LENGTH.pack(len(head)) + head, *frame.blobs]


def _length_of(start: bytes) -> int:
    if len(start) != _LENGTH.size:
        raise FrameError("the stream ended")
    length: int = _LENGTH.unpack(start)[0]
    if length > LONGEST_HEAD:
        raise FrameError(f"a head of {length:,} bytes")
    return length


def _head(read: bytes) -> tuple[dict[str, Any], list[int]]:
    try:
        whole = json.loads(read)
        head, sizes = whole["head"], whole["sizes"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FrameError("no frame") from error
    numbers = isinstance(sizes, list) and all(isinstance(size, int) and size >= 0 for size in sizes)
    if not isinstance(head, dict) or not numbers or sum(sizes) > LONGEST_BLOBS:
        raise FrameError("no frame")
    return head, sizes


def _whole(stream: BinaryIO, size: int) -> bytes:
    read = stream.read(size)
    if len(read) != size:
        raise FrameError("the stream ended")
    return read
