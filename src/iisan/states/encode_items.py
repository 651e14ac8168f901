"""Encode a catalogue into a store; what is there already is not encoded again."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from iisan.encoders.constant_taps import find_constant_taps
from iisan.encoders.encoder import Encoder, EncodesParts
from iisan.errors import UserError
from iisan.states.changes import Changes, write_changes
from iisan.states.content import Content, content_hash
from iisan.states.manifest import StoreDtype
from iisan.states.same_store import StoreSpec
from iisan.states.writer import StoreWriter

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
        changes: Changes[Content] = Changes.between(writer.index, item_ids, contents, hashes)
        _encode(encoder, writer, changes, shard_rows, progress)
    seconds = time.perf_counter() - started
    reused = changes.reused + changes.shared
    return EncodeReport(len(changes.new), reused, changes.missing, changes.replaced, changes.removed, seconds)


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


def _encode(
    encoder: Encoder, writer: StoreWriter, changes: Changes[Content], shard_rows: int, progress: Progress
) -> None:
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress(done, len(changes.new), "encode")

    def states(parts: Sequence[list[Content]]) -> Generator[Tensor, None, None]:
        if isinstance(encoder, EncodesParts):
            return encoder.encode_parts(parts, on_batch=advance)
        return (encoder.encode(part, on_batch=advance) for part in parts)

    write_changes(writer, changes, states, shard_rows)
