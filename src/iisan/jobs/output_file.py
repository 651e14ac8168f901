"""Files that a job leaves: there completely or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from iisan.errors import unwritable
from iisan.states.atomic import replacing


@contextlib.contextmanager
def output_file(path: Path) -> Iterator[Path]:
    """Write a file under a temporary name and move it into place when the block ends well.

    Args:
        path: The file to make or replace; its folder is made if need be.

    Yields:
        The temporary sibling to write to; it is removed when the block raises.

    Raises:
        UserError: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            yield temporary
    except OSError as error:
        raise unwritable(path, error, what="the file") from error
