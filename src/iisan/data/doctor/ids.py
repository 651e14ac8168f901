"""Checks of ids: there, distinct, and not near-copies of each other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from iisan.data.doctor.finding import Finding, finding
from iisan.data.doctor.folder import Folder, blank_to_null, codes_of
from iisan.data.interactions import Rows
from iisan.data.manifest import ITEMS_FILE, USERS_FILE


def examine_ids(folder: Folder) -> list[Finding]:
    """Check item ids and user ids."""
    found: list[Finding] = []
    for table, column, kind in ((ITEMS_FILE, "item_id", "item"), (USERS_FILE, "user_id", "user")):
        ids = folder.text_column(table, column)
        if ids is not None:
            found += _examine(ids, kind)
    return found


def _examine(ids: pa.ChunkedArray, kind: str) -> list[Finding]:
    unit, n = f"{kind}s", len(ids)
    codes, distinct = codes_of(blank_to_null(ids))
    blank = np.flatnonzero(codes < 0)
    sizes = np.bincount(codes[codes >= 0], minlength=len(distinct))
    repeated = np.flatnonzero(sizes > 1)
    alike, groups = _alike(distinct)
    return [
        finding(
            f"blank_{kind}_ids",
            "error",
            len(blank),
            n,
            unit,
            "have no id",
            how="give each one an id and import again",
            examples=(f"row {row}" for row in blank),
        ),
        finding(
            f"duplicate_{kind}_ids",
            "error",
            int(sizes[repeated].sum()),
            n,
            unit,
            "have an id that another one has too",
            how=f"keep one row for each {kind} and import again",
            examples=(f"{distinct[int(code)].as_py()} ({sizes[code]} times)" for code in repeated),
        ),
        finding(
            f"similar_{kind}_ids",
            "warning",
            alike,
            len(distinct),
            unit,
            f"differ from another {kind} id only by case or white space",
            how=f"if they mean one {kind}, write its id one way and import again",
            examples=groups,
        ),
    ]


def _alike(distinct: pa.Array) -> tuple[int, Iterator[str]]:
    """How many distinct ids are one when case and white space are taken away, and the groups in words."""
    plain = pc.replace_substring_regex(pc.utf8_lower(distinct), r"\s+", "")
    codes, forms = codes_of(pa.chunked_array([plain]))
    sizes = np.bincount(codes, minlength=len(forms))
    groups = np.flatnonzero(sizes > 1)
    return int(sizes[groups].sum()), (_group(distinct, np.flatnonzero(codes == code)) for code in groups)


def _group(distinct: pa.Array, rows: Rows) -> str:
    return " = ".join(repr(distinct[int(row)].as_py()) for row in rows[:3])
