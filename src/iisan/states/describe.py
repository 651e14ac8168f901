"""What a store holds, for people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from iisan.states.manifest import MANIFEST_NAME
from iisan.states.store import HiddenStateStore


@dataclass(frozen=True, slots=True)
class StoreDescription:
    """Key figures of a store.

    Attributes:
        path: Its folder.
        encoder: Identity of the encoder; of imported states what a user said of it.
        imported: Whether the states were made elsewhere and imported.
        unfinished: Whether the last run that wrote it was interrupted; the next one completes it.
        dtype: On disk.
        taps: Tapped hidden states.
        constant_taps: Those stored once for all items.
        width: ``D``.
        items: Items that have states.
        rows: Rows of states.
        dead_rows: Rows that no item refers to any more.
        shards: Number of shards.
        size_bytes: Of all files.
    """

    path: str
    encoder: dict[str, Any]
    imported: bool
    unfinished: bool
    dtype: str
    taps: list[int]
    constant_taps: list[int]
    width: int
    items: int
    rows: int
    dead_rows: int
    shards: int
    size_bytes: int


def describe_store(path: Path | str) -> StoreDescription:
    """Key figures of a store.

    Raises:
        UserError: There is no store, or it is damaged.
    """
    store = HiddenStateStore.open(path)
    manifest = store.manifest
    names = [MANIFEST_NAME, *(file.file for file in manifest.files)]
    return StoreDescription(
        path=str(store.path),
        encoder=manifest.encoder,
        imported=manifest.imported is not None,
        unfinished=manifest.unfinished,
        dtype=manifest.dtype,
        taps=manifest.taps,
        constant_taps=manifest.constant_taps,
        width=manifest.width,
        items=len(store),
        rows=manifest.rows,
        dead_rows=manifest.rows - len(np.unique(store.items.rows)),
        shards=len(manifest.shards),
        size_bytes=sum((store.path / name).stat().st_size for name in names),
    )
