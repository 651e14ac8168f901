"""Building a folder out of sight and putting it in place whole, or not at all."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from iisan.data.manifest import MANIFEST_FILE
from iisan.errors import UserError, unwritable

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FolderKind:
    """A kind of folder that may be replaced by another of its kind.

    Attributes:
        name: What it is, in a sentence.
        work: What makes it, in a sentence.
        is_one: Whether a folder is of this kind.
    """

    name: str
    work: str
    is_one: Callable[[Path], bool]


DATASET = FolderKind("dataset", "import", lambda folder: (folder / MANIFEST_FILE).is_file())


def check_output(output: Path, *, overwrite: bool, kind: FolderKind = DATASET) -> None:
    """Check that a folder of some kind may be put at ``output``; an empty folder may be filled.

    Raises:
        UserError: Something is there that must not be replaced: one of that kind without ``overwrite``, or anything
            else.
    """
    if not output.exists() and not output.is_symlink():
        return
    if output.is_symlink() or not output.is_dir():
        raise UserError("the output exists and is not a folder", where=str(output), how="choose another name")
    if kind.is_one(output):
        if not overwrite:
            raise UserError(
                f"the {kind.name} exists already", where=str(output), how="choose another name or overwrite it"
            )
    elif any(output.iterdir()):
        raise UserError(
            f"the output folder holds something that is not a {kind.name}",
            where=str(output),
            how="choose another name",
        )


@contextlib.contextmanager
def staged_folder(output: Path, *, overwrite: bool, kind: FolderKind = DATASET) -> Iterator[Path]:
    """Yield an empty folder beside ``output`` that takes its place at the end of a block without error.

    After an error nothing is left. What a kill leaves is hidden, and the next call for the same output removes it (or,
    where the kill fell between taking the old folder away and putting the new one in, puts the old one back).

    Raises:
        UserError: See :func:`check_output`; or the place cannot be written to; or another process is writing there.
    """
    output = Path(os.path.abspath(output))  # noqa: PTH100  (resolve() would follow a link at the output itself)
    check_output(output, overwrite=overwrite, kind=kind)
    _create(output.parent)
    with _held(output, kind):
        partial, old = _sibling(output, "partial"), _sibling(output, "old")
        _clear_leftovers(output, partial, old, kind)
        check_output(output, overwrite=overwrite, kind=kind)
        try:
            _create(partial)
            yield partial
            check_output(output, overwrite=overwrite, kind=kind)
            _swap_in(partial, output, old, kind)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def _held(output: Path, kind: FolderKind) -> Iterator[None]:
    """Hold the place for one writer; the system lets go of it when the writer is killed."""
    path = _sibling(output, "lock")
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(f"another {kind.work} is writing there", where=str(output), how="wait for it to end") from None
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


def _swap_in(partial: Path, output: Path, old: Path, kind: FolderKind) -> None:
    try:
        if output.is_dir() and kind.is_one(output):
            output.rename(old)
        partial.replace(output)
    except BaseException:  # An interruption too must not leave the place empty.
        if old.exists() and not output.exists():
            old.rename(output)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _clear_leftovers(output: Path, partial: Path, old: Path, kind: FolderKind) -> None:
    """Deal with what a killed run left; only the holder of the lock may."""
    if old.exists() and not output.exists():
        logger.warning("%s put back: an %s was killed while replacing it", output, kind.work)
        old.rename(output)
    for path in (partial, old):
        if path.exists():
            logger.warning("%s removed: an %s that was killed left it", path, kind.work)
            shutil.rmtree(path)
