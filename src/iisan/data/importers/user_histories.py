"""Reading a text log with one user a line: `user<TAB>items separated by spaces`, oldest first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from iisan.data.importers.delimited_table import DelimitedTable
from iisan.data.importers.history_lists import read_history_lists
from iisan.data.importers.log import RawLog
from iisan.data.importers.memory_table import MemoryTable
from iisan.errors import UserError


def read_user_histories(path: Path) -> RawLog:
    """Read such a log; it has neither times nor ratings, the order of the items is the time.

    Raises:
        UserError: The file is missing, a line is malformed, or a user is blank, repeated or without items.
    """
    table = DelimitedTable(path, "\t", quoted=False, names=("user_id", "items"))
    raw = table.read(["user_id", "items"])
    trimmed = pc.utf8_trim_whitespace(raw.column("items"))
    empty = np.flatnonzero(pc.equal(pc.utf8_length(trimmed), 0).to_numpy())
    if len(empty):
        raise UserError("the user has no items", where=table.where(int(empty[0])), how="leave the line out")
    histories = pa.table({"user_id": raw.column("user_id"), "items": pc.utf8_split_whitespace(trimmed)})
    return read_history_lists(MemoryTable(path, histories, table.where), "user_id", "items")
