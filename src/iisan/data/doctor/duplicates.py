"""Checks for content that several items share."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from iisan.data.doctor.finding import EXAMPLES, Finding, finding
from iisan.data.doctor.folder import Folder, codes_of
from iisan.data.interactions import Rows
from iisan.data.manifest import ModalityKind

KINDS: dict[ModalityKind, tuple[str, str]] = {
    "text": ("duplicate_texts", "have the same text as another item"),
    "image": ("duplicate_pictures", "have the same picture (SHA-256) as another item"),
}


def examine_duplicates(folder: Folder, digests: dict[str, pa.ChunkedArray]) -> list[Finding]:
    """Check for texts, pictures and whole contents that items share.

    Args:
        folder: The dataset.
        digests: SHA-256 of each item's picture ``[N]`` by image modality.
    """
    found = []
    parts = []
    for name, (kind, column) in folder.modalities.items():
        codes = codes_of(column if kind == "text" else digests[name])[0]
        parts.append(codes)
        check, what = KINDS[kind]
        how = "look at the largest groups: a placeholder says nothing and is better left out"
        found.append(_shared(folder, check, name, codes, what, how))
    if len(parts) > 1:
        how = "if they are one article, give them one id; to a model of content they are one"
        found.append(
            _shared(folder, "duplicate_content", "", _combined(parts), "agree with another in all content", how)
        )
    return found


def _shared(folder: Folder, check: str, about: str, codes: Rows, what: str, how: str) -> Finding:
    sizes = np.bincount(codes[codes >= 0])
    groups = np.flatnonzero(sizes > 1)
    largest = groups[np.argsort(-sizes[groups], kind="stable")][:EXAMPLES]
    count = int(sizes[groups].sum())
    groups_in_words = f" ({len(groups):,} groups, the largest of {sizes[largest[0]]:,})" if count else ""
    examples = []
    for group in largest:
        ids = list(folder.items_at(np.flatnonzero(codes == group)[:3]))
        more = ", …" if sizes[group] > len(ids) else ""
        examples.append(f"{sizes[group]:,} items: {', '.join(ids)}{more}")
    return finding(
        check,
        "warning",
        count,
        int((codes >= 0).sum()),
        "items",
        what + groups_in_words,
        how=how,
        about=about,
        examples=examples,
    )


def _combined(parts: list[Rows]) -> Rows:
    """Number the distinct combinations of codes; -1 where an item has nothing in any of them."""
    nothing = np.logical_and.reduce([part < 0 for part in parts])
    combined = parts[0] + 1
    for part in parts[1:]:
        # Numbers stay below N, so the product stays far below 2^63.
        keys = combined * (part.max(initial=-1) + 2) + part + 1
        combined = np.unique(keys, return_inverse=True)[1].reshape(-1)
    return np.where(nothing, -1, combined)
