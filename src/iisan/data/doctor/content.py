"""Checks of what items consist of: what they lack, and texts out of the ordinary."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from iisan.data.doctor.finding import Finding, finding
from iisan.data.doctor.folder import Folder, present
from iisan.data.manifest import ITEMS_FILE

# Encoders read a few hundred tokens at most; a text of this many characters is rarely meant as one.
LONG_TEXT = 10_000


def examine_content(folder: Folder) -> list[Finding]:
    """Check presence by modality, items without content, and the length of texts."""
    if ITEMS_FILE not in folder.tables:
        return []
    found = [_lacking(folder, name, column) for name, (_, column) in folder.modalities.items()]
    found.append(_without_content(folder))
    for name, (kind, column) in folder.modalities.items():
        if kind == "text":
            found += [_blank(folder, name), _long(folder, name, column)]
    return found


def _lacking(folder: Folder, name: str, column: pa.ChunkedArray) -> Finding:
    rows = np.flatnonzero(~present(column))
    return finding(
        "lacking_modality",
        "error" if len(rows) == len(column) else "warning",
        len(rows),
        len(column),
        "items",
        f"lack {name}",
        how="add it, or leave the modality out" if len(rows) == len(column) else "add it where it exists",
        about=name,
        examples=folder.items_at(rows),
    )


def _without_content(folder: Folder) -> Finding:
    having = np.zeros(folder.n_items, dtype=bool)
    for _, column in folder.modalities.values():
        having |= present(column)
    rows = np.flatnonzero(~having)
    return finding(
        "no_content",
        "error" if len(rows) == folder.n_items else "warning",
        len(rows),
        folder.n_items,
        "items",
        "have no content in any modality; a model of content cannot tell them apart and never offers them",
        how="add a text or a picture, or leave the items out",
        examples=folder.items_at(rows),
    )


def _blank(folder: Folder, name: str) -> Finding:
    """Blank texts instead of null: an import makes them null."""
    raw = folder.text_column(ITEMS_FILE, name)
    column = folder.modalities[name][1]
    rows = np.flatnonzero(present(raw) & ~present(column)) if raw is not None else np.empty(0, dtype=np.int64)
    return finding(
        "blank_texts",
        "warning",
        len(rows),
        len(column),
        "items",
        f"have a blank {name}; it counts as none",
        how="import the data again, which makes them missing",
        about=name,
        examples=folder.items_at(rows),
    )


def _long(folder: Folder, name: str, column: pa.ChunkedArray) -> Finding:
    lengths = pc.fill_null(pc.utf8_length(column), 0).to_numpy()
    rows = np.flatnonzero(lengths > LONG_TEXT)
    return finding(
        "long_texts",
        "warning",
        len(rows),
        len(column),
        "items",
        f"have a {name} of over {LONG_TEXT:,} characters (the longest {lengths.max(initial=0):,}), which encoders cut",
        how="see that it is what was meant, and not a whole page or a file",
        about=name,
        examples=folder.items_at(rows),
    )
