"""The journal of a model folder: items added, replaced and removed since the model was saved.

Each addition is one file, ``additions/000001.parquet`` and so on. It is written under another name and renamed when it
is on the disk, so a kill at any moment leaves whole additions only, and a reader sees an addition or does not.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from iisan.data.checksum import sha256_of_file
from iisan.data.few_ids import few
from iisan.errors import UserError, unwritable
from iisan.models.added_items import AddedItems, ids_of, model_of, read_added, write_added
from iisan.models.file_names import ADDITIONS, ITEMS, WEIGHTS
from iisan.states.atomic import TEMPORARY_SUFFIX, flush, replacing

# Metadata of items.parquet: the number of the last addition that is part of it.
ABSORBED_KEY = b"iisan.additions.absorbed"
_LOCK = ".additions.lock"
_SCRATCH = ".additions.scratch"


class JournalHeldError(UserError):
    """Another process is writing to the journal."""


class Additions:
    """The journal of one model folder; one process writes at a time, readers need no lock.

    Numbers go up and are never used again, also not after a save that made additions part of the item table.

    Args:
        model: The model folder; it holds the weights that the embeddings were computed with.
    """

    def __init__(self, model: Path) -> None:
        self.model = model
        self.folder = model / ADDITIONS
        self._lock = FileLock(model / _LOCK, timeout=0)
        self._known: tuple[tuple[int, int], str] | None = None

    @contextmanager
    def held(self, wait: float = 0.0) -> Iterator[None]:
        """Holds the journal for one writer, against other processes and other threads; may be nested.

        Args:
            wait: For how many seconds another one that is adding is waited for.

        Raises:
            JournalHeldError: Another one is adding, for longer than that.
            UserError: The folder cannot be written.
        """
        if self._lock.is_locked:
            yield
            return
        try:
            self._lock.acquire(timeout=wait)
        except Timeout:
            raise JournalHeldError(
                "another process is adding items to this model", where=str(self.model), how="wait until it is done"
            ) from None
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            self._remove_leftovers()
            yield
        finally:
            # Removed while still held: a waiter that gets the removed file sees that it has no name and tries again.
            with suppress(OSError):
                (self.model / _LOCK).unlink()
            self._lock.release()

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for what is needed while items are added; what a kill leaves of it goes with the next writer.

        Raises:
            UserError: It cannot be made.
        """
        folder = self.model / _SCRATCH
        with self.held():
            try:
                folder.mkdir()
            except OSError as error:
                raise self._unwritable(error) from error
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def append(self, items: AddedItems) -> int:
        """Commits one addition.

        Returns:
            Its number.

        Raises:
            UserError: Another process is adding, or the folder cannot be written; nothing of the addition is left then.
        """
        with self.held():
            number = self.last() + 1
            try:
                if not self.folder.is_dir():
                    self.folder.mkdir()
                    flush(self.model)
                with replacing(self._path(number)) as temporary:
                    write_added(temporary, items, self.fingerprint())
            except OSError as error:
                raise self._unwritable(error) from error
        return number

    def remove(self, item_ids: Sequence[str], dim: int) -> int:
        """Commits that items of a model of width `dim` are taken back; see :class:`AddedItems` for what that means.

        Raises:
            UserError: The model does not know an id, or as of :meth:`append`; nothing is written then.
        """
        with self.held():
            unknown = self._unknown(item_ids)
            if unknown:
                raise UserError(
                    f"the model does not know {len(unknown)} of the ids, such as {few(unknown)}",
                    where=str(self.model),
                    how="name items of the model only",
                )
            return self.append(AddedItems.removal(item_ids, dim))

    def read(self, after: int, dim: int) -> list[AddedItems]:
        """All additions with numbers above `after`, in order.

        Args:
            after: Number of the last one that is known; 0 for none.
            dim: ``d``.

        Raises:
            UserError: One is missing, damaged, or belongs to other weights.
        """
        found: list[AddedItems] = []
        while (path := self._path(after + len(found) + 1)).exists():
            found.append(read_added(path, self.fingerprint(), dim))
        beyond = [number for number in self._numbers() if number > after + len(found)]
        if beyond and not path.exists():
            raise UserError(
                f"the file is missing, though there is {self._path(max(beyond)).name}",
                where=str(path),
                how="restore it, or remove those with higher numbers and add the items again",
            )
        return found + self.read(after + len(found), dim) if beyond else found

    def last(self) -> int:
        """Number of the last addition, 0 where there was none; those that are part of the item table count."""
        return max([self.absorbed(), *self._numbers()])

    def absorbed(self) -> int:
        """Number of the last addition that is part of the saved item table, 0 where none is."""
        try:
            metadata = pq.read_schema(self.model / ITEMS).metadata or {}
        except (OSError, pa.ArrowException):
            return 0  # a table that cannot be read is reported where it is loaded
        value = metadata.get(ABSORBED_KEY, b"0")
        return int(value) if value.isdigit() else 0

    def version(self) -> tuple[int, int, int]:
        """Changes whenever the model or its items do; cheap, for asking often whether to read again."""
        weights = self.model / WEIGHTS
        stat = weights.stat() if weights.exists() else None
        return max([0, *self._numbers()]), *((stat.st_mtime_ns, stat.st_size) if stat else (0, 0))

    def fingerprint(self) -> str:
        """SHA-256 of the model's weights: embeddings of other weights mean nothing beside these.

        Raises:
            UserError: The model folder has no weights.
        """
        path = self.model / WEIGHTS
        try:
            stat = path.stat()
            if self._known is None or self._known[0] != (stat.st_mtime_ns, stat.st_size):
                self._known = (stat.st_mtime_ns, stat.st_size), sha256_of_file(path)
        except OSError as error:
            raise UserError(f"cannot be read ({error.strerror})", where=str(path), how="name a saved model") from error
        return self._known[1]

    def drop_absorbed(self, upto: int) -> None:
        """Removes what a saved item table holds: additions numbered up to `upto`, and those of other weights."""
        if not self.folder.is_dir():
            return
        with self.held():
            for number in self._numbers():
                if number <= upto or model_of(self._path(number)) not in (None, self.fingerprint()):
                    self._path(number).unlink()
            if not any(self.folder.iterdir()):
                self.folder.rmdir()

    def _unknown(self, item_ids: Sequence[str]) -> list[str]:
        unknown = pa.array(item_ids, pa.string())
        for known in self._known_ids():
            unknown = unknown.filter(pc.invert(pc.is_in(unknown, value_set=known)))
            if not len(unknown):
                break
        found: list[str] = unknown.to_pylist()
        return found

    def _known_ids(self) -> Iterator[pa.ChunkedArray]:
        """Ids of the saved item table, then of each addition; of all their columns only this one is read."""
        path = self.model / ITEMS
        try:
            if path.exists():
                yield pq.read_table(path, columns=["item_id"])["item_id"]
        except (OSError, KeyError, pa.ArrowException) as error:
            raise UserError(
                f"the item table cannot be read ({error})", where=str(path), how="save the model again"
            ) from error
        for number in self._numbers():
            yield ids_of(self._path(number), self.fingerprint())

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.parquet"

    def _numbers(self) -> list[int]:
        if not self.folder.is_dir():
            return []
        names = (path.name.removesuffix(".parquet") for path in self.folder.glob("*.parquet"))
        return sorted(int(name) for name in names if name.isdigit())

    def _remove_leftovers(self) -> None:
        shutil.rmtree(self.model / _SCRATCH, ignore_errors=True)
        for path in self.folder.glob(f".*{TEMPORARY_SUFFIX}") if self.folder.is_dir() else ():
            path.unlink(missing_ok=True)

    def _unwritable(self, error: OSError) -> UserError:
        return unwritable(self.model, error, what="the addition", stays="what was added before is safe")
