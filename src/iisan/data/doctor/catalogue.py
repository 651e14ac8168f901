"""Checks of the catalogue against the log: items that nobody chose, and items that everybody chose."""

from __future__ import annotations

import numpy as np

from iisan.data.doctor.finding import Finding, finding
from iisan.data.doctor.folder import Folder
from iisan.data.interactions import Interactions

# The longest list that `iisan evaluate` measures by default; a catalogue of this size is always in it.
LONGEST_LIST = 20
FEWEST_ITEMS = 2
TOP = 0.01
CONCENTRATED = 0.5


def examine_catalogue(folder: Folder, log: Interactions) -> list[Finding]:
    """Check the size of the catalogue and how interactions spread over it."""
    counts = np.bincount(log.item, minlength=log.n_items)
    unused = np.flatnonzero(counts == 0)
    by_popularity = np.argsort(-counts, kind="stable")
    top = by_popularity[: max(1, round(TOP * log.n_items))]
    taken = int(counts[top].sum())
    return [
        finding(
            "small_catalogue",
            "error" if log.n_items < FEWEST_ITEMS else "warning",
            log.n_items if log.n_items <= LONGEST_LIST else 0,
            log.n_items,
            "items",
            f"are the whole catalogue: every target is among the first {LONGEST_LIST}",
            how="bring a larger catalogue, or read metrics of short lists only",
        ),
        finding(
            "unused_items",
            "warning",
            len(unused),
            log.n_items,
            "items",
            "have no interaction; they are ranked with catalogue=all and not with catalogue=interacted",
            how="choose the catalogue on purpose: metrics differ",
            examples=folder.items_at(unused),
        ),
        finding(
            "popular_items",
            "warning" if taken > CONCENTRATED * len(log) else "ok",
            taken,
            len(log),
            "interactions",
            f"are with the most popular 1 % of the items ({len(top):,})",
            how="compare with the ranking by popularity, which `iisan evaluate` prints: it is strong here",
            examples=(f"{item}: {counts[row]:,}" for item, row in zip(folder.items_at(top), top, strict=True)),
        ),
    ]
