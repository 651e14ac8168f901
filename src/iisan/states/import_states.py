"""Bring states that were computed elsewhere into a store, with the checks that encoding makes."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from iisan.errors import UserError
from iisan.states.changes import Changes, write_changes
from iisan.states.constant_columns import ConstantColumns
from iisan.states.finite import first_not_finite
from iisan.states.manifest import MANIFEST_NAME, StoreDtype
from iisan.states.same_store import StoreSpec, refuse_other_states
from iisan.states.shard_file import TORCH_DTYPES
from iisan.states.state_rows import Rows, StateRows
from iisan.states.store import HiddenStateStore
from iisan.states.writer import StoreWriter

logger = logging.getLogger(__name__)

Progress = Callable[[int, int, str], None]
OnTrouble = Literal["error", "skip"]

SHARD_ROWS = 1024
SHOWN_IDS = 3


@dataclass(frozen=True, slots=True)
class ImportedStates:
    """What a user says of states that were made elsewhere.

    Attributes:
        encoder_name: What made them. A store takes no states of another name.
        taps: Number of the layer of each tap, increasing; by default those of the store, or ``0..T-1`` for a new one.
        pooling: How tokens became one vector, e.g. ``first`` or ``mean``.
        dtype: On disk; by default that of the store, or that of the files for a new one (float32 for float64).
    """

    encoder_name: str
    taps: tuple[int, ...] | None = None
    pooling: str | None = None
    dtype: StoreDtype | None = None

    def identity(self, taps: tuple[int, ...], width: int) -> dict[str, Any]:
        """What the store's manifest, and later a model, says of the encoder."""
        pooling = {} if self.pooling is None else {"pooling": self.pooling}
        return {"name": self.encoder_name, "imported": True, **pooling, "taps": list(taps), "width": width}


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What a run of `import_states` did; ``imported + reused`` is the number of items whose states were taken.

    Attributes:
        imported: Items whose states were written.
        reused: Items whose states are in the store, or are those of another item of this run.
        unknown: Rows that were left out: their ids are not in the catalogue.
        missing: Items of the catalogue that have no states, neither in the files nor in the store.
        replaced: Items, counted above too, that had other states before.
        removed: Items that had states before and may have none now.
        constant_taps: Taps that are one vector for every item, stored once.
        seconds: Wall time.
    """

    imported: int
    reused: int
    unknown: int
    missing: int
    replaced: int
    removed: int
    constant_taps: tuple[int, ...]
    seconds: float


def import_states(
    states: StateRows,
    item_ids: Sequence[str],
    path: Path | str,
    about: ImportedStates,
    *,
    catalogue: Sequence[str] | None = None,
    without: Sequence[str] = (),
    on_unknown: OnTrouble = "error",
    on_missing: OnTrouble = "error",
    shard_rows: int = SHARD_ROWS,
    progress: Progress | None = None,
    wait: bool = False,
) -> ImportReport:
    """Bring a store up to date with states that were computed elsewhere.

    The files are read twice, block by block: everything is checked before anything is written. An item is known by its
    id and the SHA-256 of its states as they are stored, so states that are there already are not written again, changed
    ones replace the old, and a run that was interrupted is continued by calling this again. Items of the store that
    have no row in the files stay.

    Args:
        states: ``M`` rows ``[T, D]``.
        item_ids: ``M`` distinct ids.
        path: The store's folder; made if need be.
        about: What made the states.
        catalogue: Items that may have states; any may by default.
        without: Items, none of them in `catalogue`, that the store must not have any more.
        on_unknown: Rows of items that `catalogue` lacks: an error, or left out.
        on_missing: Items of `catalogue` without states: an error, or items that lack the modality.
        shard_rows: Items to a shard; a kill loses at most this many.
        progress: Called with how many are done, of how many, and of what ("check", "import").
        wait: Wait for another writer of the same store instead of raising.

    Returns:
        What was done.

    Raises:
        UserError: Ids repeat, are unknown or missing; a number is not finite or does not fit the dtype (file, row, item
            and tap are named); the store is of something else, another process is writing it, or the disk is full.
        ValueError: `states` and `item_ids` differ in length, or `shard_rows` is not positive.
    """
    started = time.perf_counter()
    _check_arguments(states, item_ids, shard_rows)
    _refuse_repeated(states, item_ids)
    rows = _known_rows(item_ids, catalogue, on_unknown)
    before = HiddenStateStore.open(path) if (Path(path) / MANIFEST_NAME).exists() else None
    missing = _missing(item_ids, catalogue, before, on_missing)
    spec = _spec(about, states, before)
    survey = _Survey(states, item_ids, spec, None if before is None else before.constant)
    hashes = survey.run(rows, progress or _silent)
    if before is None:
        spec = survey.with_constant_taps(len(rows))
    ids = [*(item_ids[row] for row in rows.tolist()), *without]
    nothing = [None] * len(without)
    with StoreWriter(path, spec, wait=wait) as writer:
        changes: Changes[int] = Changes.between(writer.index, ids, [*rows.tolist(), *nothing], [*hashes, *nothing])
        _write(states, writer, changes, shard_rows, progress or _silent)
    return ImportReport(
        imported=len(changes.new),
        reused=changes.reused + changes.shared,
        unknown=len(states) - len(rows),
        missing=missing,
        replaced=changes.replaced,
        removed=changes.removed,
        constant_taps=spec.constant_taps,
        seconds=time.perf_counter() - started,
    )


class _Survey:
    """Looks at all states once: whether they can be stored, which taps are constant, and their hashes.

    Args:
        states: The states.
        item_ids: Whose they are.
        spec: What they are to be stored as.
        constant: Vectors ``[T_const, D]`` of the constant taps of a store that is there.
    """

    def __init__(self, states: StateRows, item_ids: Sequence[str], spec: StoreSpec, constant: Tensor | None) -> None:
        self.states = states
        self.item_ids = item_ids
        self.spec = spec
        known = None
        if constant is not None:
            known = {spec.taps.index(tap): constant[k] for k, tap in enumerate(spec.constant_taps)}
        self.constant = ConstantColumns(known)

    def run(self, rows: Rows, progress: Progress) -> list[str]:
        """Check some rows.

        Returns:
            The SHA-256 of each one's states as they are stored.

        Raises:
            UserError: One cannot be stored.
        """
        hashes: list[str] = []
        for part, block in self.states.blocks(rows):
            self._refuse(first_not_finite(block), part, "a number is not finite", "compute the state again")
            stored = block.to(TORCH_DTYPES[self.spec.dtype])
            how = "store the states as bfloat16 or float32"
            self._refuse(first_not_finite(stored), part, f"a number is too large for {self.spec.dtype}", how)
            deviating = self.constant.narrow(block)
            what = "the tap is one vector for every item of the store, and another one here"
            self._refuse(deviating, part, what, "import all states into another folder")
            hashes += _hashes(stored)
            progress(len(hashes), len(rows), "check")
        return hashes

    def with_constant_taps(self, n_rows: int) -> StoreSpec:
        """The specification of a new store, its constant taps being those that were found in so many rows."""
        taps, vectors = self.constant.found(self.spec.taps, n_rows)
        return replace(self.spec, constant_taps=taps, constant=vectors)

    def _refuse(self, bad: tuple[int, int] | None, rows: Rows, what: str, how: str) -> None:
        if bad is not None:
            row, column = int(rows[bad[0]]), bad[1]
            where = f"{self.states.where(row)}, item '{self.item_ids[row]}', tap {self.spec.taps[column]}"
            raise UserError(what, where=where, how=how)


def _silent(done: int, total: int, label: str) -> None:
    pass


def _check_arguments(states: StateRows, item_ids: Sequence[str], shard_rows: int) -> None:
    if len(states) != len(item_ids):
        raise ValueError(f"{len(states)} rows of states, but {len(item_ids)} item ids")
    if shard_rows < 1:
        raise ValueError(f"shard_rows must be at least 1, not {shard_rows}")


def _refuse_repeated(states: StateRows, item_ids: Sequence[str]) -> None:
    if len(set(item_ids)) == len(item_ids):
        return
    first: dict[str, int] = {}
    for row, item in enumerate(item_ids):
        if item in first:
            what = f"item '{item}' has states already, in {states.where(first[item])}"
            raise UserError(what, where=states.where(row), how="bring one row an item")
        first[item] = row


def _known_rows(item_ids: Sequence[str], catalogue: Sequence[str] | None, on_unknown: OnTrouble) -> Rows:
    if catalogue is None:
        return np.arange(len(item_ids))
    known = set(catalogue)
    rows = np.fromiter((row for row, item in enumerate(item_ids) if item in known), dtype=np.int64)
    unknown = len(item_ids) - len(rows)
    if unknown and on_unknown == "error":
        named = _named([item for item in item_ids if item not in known])
        how = "correct the ids, or leave their states out with --on-unknown skip"
        raise UserError(
            f"{unknown:,} ids are of no item of the catalogue, or of one without such content: {named}",
            where="item ids",
            how=how,
        )
    if not len(rows):
        raise UserError("no state is of an item that may have one", where="item ids", how="correct the ids")
    return rows


def _missing(
    item_ids: Sequence[str], catalogue: Sequence[str] | None, before: HiddenStateStore | None, on_missing: OnTrouble
) -> int:
    if catalogue is None:
        return 0
    given = set(item_ids)
    there: set[str] = set() if before is None else set(before.item_ids)
    missing = [item for item in catalogue if item not in given and item not in there]
    if missing and on_missing == "error":
        how = "bring their states too, or let them lack the modality with --on-missing skip"
        raise UserError(f"{len(missing):,} items have no states: {_named(missing)}", where="item ids", how=how)
    return len(missing)


def _named(ids: Sequence[str]) -> str:
    return ", ".join(repr(one) for one in ids[:SHOWN_IDS]) + (", …" if len(ids) > SHOWN_IDS else "")


def _spec(about: ImportedStates, states: StateRows, before: HiddenStateStore | None) -> StoreSpec:
    """What is to be stored; of a store that is there with its constant taps, and after a check that it fits."""
    taps = _taps(about, states.n_taps, before)
    spec = StoreSpec(about.identity(taps, states.width), _dtype(about, states, before), taps, states.width)
    if before is None:
        return spec
    spec = replace(spec, constant_taps=tuple(before.constant_taps), constant=before.constant)
    refuse_other_states(before.path, before.manifest, spec)
    return spec


def _taps(about: ImportedStates, n_taps: int, before: HiddenStateStore | None) -> tuple[int, ...]:
    if about.taps is None and before is not None:
        return tuple(before.taps) if len(before.taps) == n_taps else tuple(range(n_taps))
    if about.taps is None:
        if n_taps > 1:
            logger.info("taps are numbered 0 to %d; give --taps where they are other layers", n_taps - 1)
        return tuple(range(n_taps))
    if len(about.taps) != n_taps:
        how = "give the number of each tap's layer"
        raise UserError(f"{len(about.taps)} layer numbers for {n_taps} taps", where="--taps", how=how)
    if min(about.taps) < 0 or list(about.taps) != sorted(set(about.taps)):
        raise UserError(
            f"the layers {list(about.taps)} do not increase from 0 on", where="--taps", how="put them in order"
        )
    return about.taps


def _dtype(about: ImportedStates, states: StateRows, before: HiddenStateStore | None) -> StoreDtype:
    if about.dtype is not None:
        return about.dtype
    if before is not None:
        return before.manifest.dtype
    for dtype, stored in TORCH_DTYPES.items():
        if states.dtype is stored:
            return dtype
    logger.info("the states are %s and stored as float32", str(states.dtype).removeprefix("torch."))
    return "float32"


def _hashes(stored: Tensor) -> list[str]:
    """SHA-256 of the bytes of each row of ``[n, T, D]``."""
    rows = stored.contiguous().view(torch.uint8).flatten(1).numpy()  # [n, bytes]
    return [hashlib.sha256(row).hexdigest() for row in rows]


def _write(states: StateRows, writer: StoreWriter, changes: Changes[int], shard_rows: int, progress: Progress) -> None:
    done = 0

    def read(rows: list[int]) -> Tensor:
        nonlocal done
        done += len(rows)
        progress(done, len(changes.new), "import")
        return states.read(np.array(rows, dtype=np.int64))

    write_changes(writer, changes, lambda parts: (read(part) for part in parts), shard_rows)
