"""Write a hidden-state store, one shard at a time."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout
from torch import Tensor

from iisan.data.checksum import sha256_of_file
from iisan.errors import UserError, unwritable
from iisan.states.atomic import replacing
from iisan.states.finite import first_not_finite
from iisan.states.index import IndexEntry, StoreIndex, read_index, write_index
from iisan.states.manifest import (
    MANIFEST_NAME,
    CheckedFile,
    Manifest,
    ShardRecord,
    read_manifest,
    write_manifest,
)
from iisan.states.same_store import StoreSpec, refuse_other_states
from iisan.states.shard_file import TORCH_DTYPES, write_shard
from iisan.states.store import CONSTANT_KEY
from iisan.states.tensor_file import save_tensors

logger = logging.getLogger(__name__)

LOCK_NAME = ".lock"
CONSTANT_FILE = "constant.safetensors"


class StoreWriter:
    """Appends shards to a store, making it if need be; use it in a ``with`` statement.

    A shard counts from the moment when the manifest that names it replaces the old one, so a kill loses at most the
    shard in flight. What a killed writer left behind is removed by the next one. One process writes at a time; the lock
    is the operating system's and ends with the process.

    Args:
        path: The store's folder.
        spec: What it is to hold; must agree with what it holds.
        wait: Wait for another writer to finish instead of raising.

    Raises:
        UserError: Upon entering: another process is writing, the folder holds something else, the store was made by
            another encoder or in another dtype, or the folder cannot be written.
    """

    def __init__(self, path: Path | str, spec: StoreSpec, *, wait: bool = False) -> None:
        self.path = Path(path)
        self.spec = spec
        self._wait = wait
        self._failed = False
        self._lock = FileLock(self.path / LOCK_NAME)
        self._columns = [k for k, tap in enumerate(spec.taps) if tap not in spec.constant_taps]
        self._constant_columns = [k for k, tap in enumerate(spec.taps) if tap in spec.constant_taps]
        self.manifest: Manifest
        self.index = StoreIndex()

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._take_lock()
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            self._begin()
        except OSError as error:
            self._lock.release()
            raise self._unwritable(error) from error
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    @property
    def next_row(self) -> int:
        """The row that the first item of the next shard gets."""
        return self.manifest.rows

    def append(self, states: Tensor, entries: Sequence[IndexEntry], *, unfinished: bool = False) -> None:
        """Commit one shard.

        Args:
            states: ``[n, T, D]`` float, all taps in order, the constant ones too; row ``k`` becomes row
                ``next_row + k`` of the store. ``n`` may be 0.
            entries: What to say about items; their rows may be of this shard or of earlier ones.
            unfinished: Whether this run has more to append; kept in the manifest, so that a store whose run was
                interrupted does not pass for a complete one.

        Raises:
            UserError: A number is not finite or does not fit the store's dtype (the item is named), or the disk is
                full.
            ValueError: Wrong shape, or an entry for a row that does not exist.
            RuntimeError: A tap that should be constant is not; or an earlier append failed, after which the store must
                be opened anew.
        """
        if self._failed:
            raise RuntimeError("an append to this store failed; open it anew")
        self._check_arguments(states, entries)
        stored = self._to_stored(states, entries)
        name = f"shard-{len(self.manifest.shards):05d}"
        try:
            with replacing(self.path / f"{name}.safetensors") as temporary:
                write_shard(temporary, stored)
            with replacing(self.path / f"{name}.parquet") as temporary:
                write_index(temporary, entries)
            record = ShardRecord(
                states=self._checked(f"{name}.safetensors"), index=self._checked(f"{name}.parquet"), rows=len(stored)
            )
            shards = [*self.manifest.shards, record]
            manifest = self.manifest.model_copy(update={"shards": shards, "unfinished": unfinished})
            # Until the new manifest is known to stand, it is not known which files belong to the store.
            self._failed = True
            write_manifest(self.path, manifest)
            self._failed = False
        except OSError as error:
            raise self._unwritable(error) from error
        self.manifest = manifest
        self.index.add(entries)

    def _take_lock(self) -> None:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            if not self._wait:
                raise UserError(
                    "another process is writing this store",
                    where=str(self.path),
                    how="wait until it is done, or let this run wait for it (`--wait`, or wait=True)",
                ) from None
            logger.info("waiting for another process that is writing %s", self.path)
            self._lock.acquire()

    def _begin(self) -> None:
        if (self.path / MANIFEST_NAME).exists():
            self.manifest = read_manifest(self.path)
            refuse_other_states(self.path, self.manifest, self.spec)
        else:
            self._require_empty()
            self.manifest = self._create()
        self._remove_leftovers()
        self.index = StoreIndex()
        for shard in self.manifest.shards:
            self.index.add(read_index(self.path / shard.index.file))

    def _create(self) -> Manifest:
        constant = None
        if self.spec.constant is not None and self.spec.constant_taps:
            with replacing(self.path / CONSTANT_FILE) as temporary:
                save_tensors({CONSTANT_KEY: self.spec.constant.float().contiguous()}, temporary)
            constant = self._checked(CONSTANT_FILE)
        manifest = Manifest(
            encoder=self.spec.encoder,
            dtype=self.spec.dtype,
            taps=list(self.spec.taps),
            constant_taps=list(self.spec.constant_taps),
            width=self.spec.width,
            constant=constant,
        )
        write_manifest(self.path, manifest)
        return manifest

    def _require_empty(self) -> None:
        strange = [path.name for path in self.path.iterdir() if not _is_ours(path.name)]
        if strange:
            raise UserError(
                f"the folder is no hidden-state store and not empty (it holds '{min(strange)}')",
                where=str(self.path),
                how="choose a new folder",
            )

    def _remove_leftovers(self) -> None:
        kept = {file.file for file in self.manifest.files} | {MANIFEST_NAME, LOCK_NAME}
        for path in self.path.iterdir():
            if path.name not in kept and _is_ours(path.name):
                logger.info("removing %s, left behind by an interrupted run", path)
                path.unlink()

    def _check_arguments(self, states: Tensor, entries: Sequence[IndexEntry]) -> None:
        shape = (len(self.spec.taps), self.spec.width)
        if states.dim() != 3 or tuple(states.shape[1:]) != shape:
            raise ValueError(f"states must be [n, {shape[0]}, {shape[1]}], not {list(states.shape)}")
        end = self.next_row + len(states)
        outside = [entry.row for entry in entries if not -1 <= entry.row < end]
        if outside:
            raise ValueError(f"an index entry is for row {outside[0]}, but the store will have {end} rows")

    def _to_stored(self, states: Tensor, entries: Sequence[IndexEntry]) -> Tensor:
        self._require_constant(states)
        varying = states[:, self._columns]  # [n, T_var, D]
        stored = varying.to(TORCH_DTYPES[self.spec.dtype])
        self._require_finite(varying, entries, "a hidden state is not a finite number", "check the item's content")
        self._require_finite(
            stored, entries, f"a hidden state is too large for {self.spec.dtype}", "store the states as bfloat16"
        )
        return stored

    def _require_constant(self, states: Tensor) -> None:
        if not self._constant_columns or self.spec.constant is None or not len(states):
            return
        expected = self.spec.constant.float()  # [T_const, D]
        deviation = float((states[:, self._constant_columns].float() - expected).abs().max())
        if not deviation <= 1e-5 * max(1.0, float(expected.abs().max())):
            taps = list(self.spec.constant_taps)
            raise RuntimeError(f"taps {taps} should be one vector for every item but deviate by {deviation:.3g}")

    def _require_finite(self, states: Tensor, entries: Sequence[IndexEntry], what: str, how: str) -> None:
        bad = first_not_finite(states)
        if bad is None:
            return
        row = self.next_row + bad[0]
        items = [entry.item_id for entry in entries if entry.row == row]
        raise UserError(what, where=f"{self.path}, item '{items[0]}'" if items else str(self.path), how=how)

    def _checked(self, name: str) -> CheckedFile:
        return CheckedFile(file=name, sha256=sha256_of_file(self.path / name))

    def _unwritable(self, error: OSError) -> UserError:
        return unwritable(self.path, error, what="the store", stays="what was committed is safe")


def _is_ours(name: str) -> bool:
    return name in {LOCK_NAME, MANIFEST_NAME, CONSTANT_FILE} or name.startswith(
        ("shard-", ".shard-", f".{MANIFEST_NAME}", f".{CONSTANT_FILE}")
    )
