"""The ids of a catalogue, distinct."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from iisan.data.importers.columns import Where, coded_ids
from iisan.errors import UserError


def distinct_item_ids(column: pa.ChunkedArray, where: Where) -> list[str]:
    """Ids of the items table ``[N]``, in its order.

    Raises:
        UserError: An id is missing, blank or repeated; the line is named.
    """
    coded = coded_ids(column, "item", where)
    if len(coded.ids) != len(coded.codes):
        counts = np.bincount(coded.codes, minlength=len(coded.ids))
        code = int(np.flatnonzero(counts > 1)[0])
        again = int(np.flatnonzero(coded.codes == code)[1])
        raise UserError(
            f"item {coded.ids[code]!r} is there already ({int((counts > 1).sum())} items occur more than once)",
            where=where(again),
            how="keep one row of each item",
        )
    return [coded.ids[code] for code in coded.codes]
