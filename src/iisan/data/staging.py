"""Building a folder out of sight and putting it in place whole, or not at all."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from iisan.data.manifest import MANIFEST_FILE
from iisan.errors import UserError, unwritable

logger = logging.getLogger(__name__)


def check_output(output: Path, *, overwrite: bool) -> None:
    """Check that a dataset may be put at ``output``; an empty folder may be filled.

    Raises:
        UserError: Something is there that must not be replaced: a dataset without ``overwrite``, or anything else.
    """
    if not output.exists() and not output.is_symlink():
        return
    if output.is_symlink() or not output.is_dir():
        raise UserError("the output exists and is not a folder", where=str(output), how="choose another name")
    if (output / MANIFEST_FILE).is_file():
        if not overwrite:
            raise UserError("the dataset exists already", where=str(output), how="choose another name or overwrite it")
    elif any(output.iterdir()):
        raise UserError(
            "the output folder holds something that is not a dataset", where=str(output), how="choose another name"
        )


@contextlib.contextmanager
def staged_folder(output: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield an empty folder beside ``output`` that takes its place at the end of a block without error.

    After an error nothing is left. What a kill leaves is hidden, and the next call for the same output removes it (or,
    where the kill fell between taking the old folder away and putting the new one in, puts the old one back).

    Raises:
        UserError: See :func:`check_output`; or the place cannot be written to; or another process is writing there.
    """
    output = Path(os.path.abspath(output))  # noqa: PTH100  (resolve() would follow a link at the output itself)
    check_output(output, overwrite=overwrite)
    _create(output.parent)
    with _held(output):
        partial, old = _sibling(output, "partial"), _sibling(output, "old")
        _clear_leftovers(output, partial, old)
        check_output(output, overwrite=overwrite)
        try:
            _create(partial)
            yield partial
            check_output(output, overwrite=overwrite)
            _swap_in(partial, output, old)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def _held(output: Path) -> Iterator[None]:
    """Hold the place for one writer; the system lets go of it when the writer is killed."""
    path = _sibling(output, "lock")
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError("another import is writing there", where=str(output), how="wait for it to end") from None
    except OSError as error:
        raise _unwritable(path.parent, error) from error
    try:
        yield
    finally:
        # Removed while still held: a waiter that gets the removed file sees that it has no name and tries again.
        with contextlib.suppress(OSError):
            path.unlink()
        lock.release()


def _create(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> UserError:
    return unwritable(folder, error, what="the folder")


def _sibling(output: Path, role: str) -> Path:
    return output.parent / f".{output.name}.{role}"


def _swap_in(partial: Path, output: Path, old: Path) -> None:
    try:
        if (output / MANIFEST_FILE).is_file():
            output.rename(old)
        partial.replace(output)
    except BaseException:  # An interruption too must not leave the place empty.
        if old.exists() and not output.exists():
            old.rename(output)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _clear_leftovers(output: Path, partial: Path, old: Path) -> None:
    """Deal with what a killed run left; only the holder of the lock may."""
    if old.exists() and not output.exists():
        logger.warning("%s put back: an import was killed while replacing it", output)
        old.rename(output)
    for path in (partial, old):
        if path.exists():
            logger.warning("%s removed: an import that was killed left it", path)
            shutil.rmtree(path)
