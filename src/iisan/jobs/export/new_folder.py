"""A folder that an export makes: there whole or not at all, and never in place of something else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from iisan.data.staging import FolderKind, staged_folder
from iisan.errors import unwritable
from iisan.states.atomic import flush


@contextlib.contextmanager
def new_folder(output: Path, kind: FolderKind, *, overwrite: bool) -> Iterator[Path]:
    """Yields an empty folder that takes its place at the end of a block without error; its files are on the disk then.

    Raises:
        UserError: Something is there that must not be replaced, another export writes there, or it cannot be written.
    """
    try:
        with staged_folder(output, overwrite=overwrite, kind=kind) as draft:
            yield draft
            for path in [*draft.rglob("*"), draft]:
                flush(path)
        flush(output.absolute().parent)
    except OSError as error:
        raise unwritable(output, error, what="the folder") from error
