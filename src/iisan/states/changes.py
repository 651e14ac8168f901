"""What a run has to add to a store so that it says what a catalogue says."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch
from torch import Tensor

from iisan.states.index import REMOVED, IndexEntry, StoreIndex
from iisan.states.writer import StoreWriter

Source = TypeVar("Source")


@dataclass(slots=True)
class Changes(Generic[Source]):
    """The difference between a store and a catalogue.

    Attributes:
        new: Contents whose states the store lacks: by hash, where the states come from and whose content it is.
        entries: Index entries of items that need no new states.
        reused: Items whose content the store has, whether or not it was theirs before.
        missing: Items without content.
        replaced: Items, counted elsewhere too, that had other content before.
        removed: Items, counted in `missing` too, that had content before.
    """

    new: dict[str, tuple[Source, list[str]]] = field(default_factory=dict)
    entries: list[IndexEntry] = field(default_factory=list)
    reused: int = 0
    missing: int = 0
    replaced: int = 0
    removed: int = 0

    @property
    def shared(self) -> int:
        """Items whose content another item of the run brings."""
        return sum(len(items) - 1 for _, items in self.new.values())

    @classmethod
    def between(
        cls,
        index: StoreIndex,
        item_ids: Sequence[str],
        sources: Sequence[Source | None],
        hashes: Sequence[str | None],
    ) -> Changes[Source]:
        """Compare.

        Args:
            index: What the store says.
            item_ids: ``n`` distinct ids; other items of the store stay as they are.
            sources: ``n`` places where states come from; None where the item has no content.
            hashes: ``n`` content hashes; None where the item has no content.
        """
        changes: Changes[Source] = cls()
        for item, source, digest in zip(item_ids, sources, hashes, strict=True):
            changes._compare(index, item, source, digest)
        return changes

    def _compare(self, index: StoreIndex, item: str, source: Source | None, digest: str | None) -> None:
        old = index.live.get(item)
        if digest is None or source is None:
            self.missing += 1
            if old is not None:
                self.removed += 1
                self.entries.append(IndexEntry(item, "", REMOVED))
            return
        if old is not None and old.content_hash == digest:
            self.reused += 1
            return
        self.replaced += old is not None
        row = index.row_of_hash.get(digest)
        if row is not None:
            self.reused += 1
            self.entries.append(IndexEntry(item, digest, row))
        else:
            self.new.setdefault(digest, (source, []))[1].append(item)


def write_changes(
    writer: StoreWriter,
    changes: Changes[Source],
    make: Callable[[Sequence[list[Source]]], Generator[Tensor, None, None]],
    shard_rows: int,
) -> None:
    """Append to a store what it lacks, shard by shard; it counts as unfinished until the last one.

    Args:
        writer: Of the store that the changes were computed for.
        changes: What to add.
        make: Gives, one after the other, the states ``[n, T, D]`` of lists of ``n`` sources.
        shard_rows: Rows in a shard.
    """
    todo = list(changes.new.items())
    entries = changes.entries
    parts = [todo[start : start + shard_rows] for start in range(0, len(todo), shard_rows)]
    with closing(make([[source for _, (source, _) in part] for part in parts])) as made:
        for number, (part, states) in enumerate(zip(parts, made, strict=True), start=1):  # [n, T, D]
            first = writer.next_row
            new = [IndexEntry(item, digest, first + k) for k, (digest, (_, items)) in enumerate(part) for item in items]
            writer.append(states, [*entries, *new], unfinished=number < len(parts))
            entries = []
    if entries or writer.manifest.unfinished:
        spec = writer.spec
        writer.append(torch.empty(0, len(spec.taps), spec.width), entries)
