"""Encode a catalogue into a store; what is there already is not encoded again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from iisan.encoders.constant_taps import find_constant_taps
from iisan.encoders.encoder import Encoder
from iisan.errors import UserError
from iisan.states.content import Content, content_hash
from iisan.states.index import REMOVED, IndexEntry, StoreIndex
from iisan.states.manifest import StoreDtype
from iisan.states.writer import StoreSpec, StoreWriter

Progress = Callable[[int, int, str], None]

# Rows in a shard: what a kill can cost, against files in a store (a memory map each)
SHARD_ROWS = 1024


@dataclass(frozen=True, slots=True)
class EncodeReport:
    """What a run of `encode_items` did; ``encoded + reused + missing`` is the number of items.

    Attributes:
        encoded: Items whose content passed through the encoder.
        reused: Items that needed no encoding: the states of their content are in the store, or another item of this run
            has the same content.
        missing: Items without content.
        replaced: Items, counted above too, that had other content before.
        removed: Items, counted in `missing` too, that had content before.
        seconds: Wall time.
    """

    encoded: int
    reused: int
    missing: int
    replaced: int
    removed: int
    seconds: float


@dataclass(slots=True)
class _Plan:
    to_encode: dict[str, tuple[Content, list[str]]] = field(default_factory=dict)  # hash -> content, items
    entries: list[IndexEntry] = field(default_factory=list)  # of items that need no encoding
    reused: int = 0
    missing: int = 0
    replaced: int = 0
    removed: int = 0


def encode_items(
    encoder: Encoder,
    item_ids: Sequence[str],
    contents: Sequence[Content | None],
    path: Path | str,
    *,
    dtype: StoreDtype = "float16",
    shard_rows: int = SHARD_ROWS,
    progress: Progress | None = None,
    wait: bool = False,
) -> EncodeReport:
    """Bring a store up to date with a catalogue.

    An item whose content did not change is not encoded again, and neither is content that another item had. Items of
    the store that are not in `item_ids` stay. A run that was interrupted is continued by calling this again.

    Args:
        encoder: Makes the states.
        item_ids: ``n`` distinct ids.
        contents: ``n`` texts or picture files; ``None`` or a blank text: the item lacks the modality.
        path: The store's folder; made if need be.
        dtype: On disk. float16 is half the size of float32; bfloat16 too, coarser, but it holds large numbers.
        shard_rows: Items to a shard; a kill loses at most this many.
        progress: Called with how many are done, of how many, and of what ("hash", "encode").
        wait: Wait for another writer of the same store instead of raising.

    Returns:
        What was done.

    Raises:
        UserError: A file cannot be read, a state does not fit `dtype`, the store is of another encoder, another process
            is writing it, or the disk is full. What was committed before stays.
        ValueError: `item_ids` and `contents` differ in length, or `shard_rows` is not positive.
    """
    started = time.perf_counter()
    _check_arguments(item_ids, contents, shard_rows)
    progress = progress or _silent
    hashes = _hash_all(item_ids, contents, progress)
    constant_taps, constant = find_constant_taps(encoder)
    spec = StoreSpec(encoder.identity, dtype, tuple(encoder.taps), encoder.width, constant_taps, constant)
    with StoreWriter(path, spec, wait=wait) as writer:
        plan = _plan(item_ids, contents, hashes, writer.index)
        _encode_plan(encoder, writer, plan, shard_rows, progress)
    encoded = len(plan.to_encode)
    shared = sum(len(items) - 1 for _, items in plan.to_encode.values())
    seconds = time.perf_counter() - started
    return EncodeReport(encoded, plan.reused + shared, plan.missing, plan.replaced, plan.removed, seconds)


def _silent(done: int, total: int, label: str) -> None:
    pass


def _check_arguments(item_ids: Sequence[str], contents: Sequence[Content | None], shard_rows: int) -> None:
    if len(item_ids) != len(contents):
        raise ValueError(f"{len(item_ids)} item ids, but {len(contents)} contents")
    if shard_rows < 1:
        raise ValueError(f"shard_rows must be at least 1, not {shard_rows}")
    seen: set[str] = set()
    for item in item_ids:
        if item in seen:
            raise UserError(f"item id '{item}' occurs twice", where="items to encode", how="make the ids unique")
        seen.add(item)


def _hash_all(item_ids: Sequence[str], contents: Sequence[Content | None], progress: Progress) -> list[str | None]:
    hashes: list[str | None] = []
    for item, content in zip(item_ids, contents, strict=True):
        try:
            hashes.append(content_hash(content))
        except OSError as error:
            how = "restore the file, or clear it in the item table"
            raise UserError(
                f"the content of item '{item}' cannot be read ({error.strerror or error})", where=str(content), how=how
            ) from error
        if len(hashes) % 1000 == 0:
            progress(len(hashes), len(contents), "hash")
    progress(len(hashes), len(contents), "hash")
    return hashes


def _plan(
    item_ids: Sequence[str], contents: Sequence[Content | None], hashes: Sequence[str | None], index: StoreIndex
) -> _Plan:
    plan = _Plan()
    for item, content, digest in zip(item_ids, contents, hashes, strict=True):
        old = index.live.get(item)
        if digest is None or content is None:
            plan.missing += 1
            if old is not None:
                plan.removed += 1
                plan.entries.append(IndexEntry(item, "", REMOVED))
            continue
        if old is not None and old.content_hash == digest:
            plan.reused += 1
            continue
        plan.replaced += old is not None
        row = index.row_of_hash.get(digest)
        if row is not None:
            plan.reused += 1
            plan.entries.append(IndexEntry(item, digest, row))
        else:
            plan.to_encode.setdefault(digest, (content, []))[1].append(item)
    return plan


def _encode_plan(encoder: Encoder, writer: StoreWriter, plan: _Plan, shard_rows: int, progress: Progress) -> None:
    todo = list(plan.to_encode.items())
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress(done, len(todo), "encode")

    entries = plan.entries
    for start in range(0, len(todo), shard_rows):
        part = todo[start : start + shard_rows]
        states = encoder.encode([content for _, (content, _) in part], on_batch=advance)  # [n, T, D]
        first = writer.next_row
        new = [IndexEntry(item, digest, first + k) for k, (digest, (_, items)) in enumerate(part) for item in items]
        writer.append(states, [*entries, *new])
        entries = []
    if entries:
        writer.append(torch.empty(0, len(encoder.taps), encoder.width), entries)
