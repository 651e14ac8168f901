"""The items that a log names, for catalogues that no file lists."""

from __future__ import annotations

import numpy as np

from iisan.data.importers.log import RawLog


def items_of_log(raw: RawLog) -> list[str]:
    """Ids of the items of a log ``[N]``, by first appearance."""
    codes, first = np.unique(raw.item.codes, return_index=True)
    return [raw.item.ids[code] for code in codes[np.argsort(first)]]
