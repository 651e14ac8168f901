"""Lines of a text table, of which none may fill the memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, AnyStr

from iisan.errors import UserError

# Far above any product text and small beside the table.
MAX_LINE_BYTES = 16 << 20


def bounded_lines(stream: IO[AnyStr], path: Path) -> Iterator[AnyStr]:
    """The lines of a stream, each with its end; of one that is too long no more is read than the limit.

    Args:
        stream: Bytes, or text, whose characters count as a byte each.
        path: What the stream reads, for the message.

    Raises:
        UserError: A line has more than 16 MiB.
    """
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            what = f"the line is over the limit of {MAX_LINE_BYTES:,} bytes"
            raise UserError(what, where=f"{path}, line {number}", how="shorten it, or see that lines are ended")
        yield line
