"""Reading a log whose rows are users, each with the list of their items, oldest first."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from iisan.data.importers.columns import Coded, coded_ids
from iisan.data.importers.log import RawLog
from iisan.data.importers.tables import Table
from iisan.errors import UserError


def read_history_lists(table: Table, user_column: str, history_column: str) -> RawLog:
    """Read such a log; it has neither times nor ratings, the order of the items is the time.

    Args:
        table: Of Parquet, or in memory.
        user_column: Column of the user id, each once.
        history_column: Column of the lists; an empty one adds nothing.

    Raises:
        UserError: A column is missing, the histories are no lists, a user is blank or repeated, or an item id is bad.
    """
    read = table.read(list(dict.fromkeys([user_column, history_column])), ids=(user_column,))
    histories = read.column(history_column)
    if not (pa.types.is_list(histories.type) or pa.types.is_large_list(histories.type)):
        raise UserError(
            f"column {history_column!r} holds {histories.type}, not lists of items",
            where=str(table.path),
            how="name a column of lists, or give a table with one interaction a row",
        )
    users = coded_ids(read.column(user_column), "user", table.where)
    if len(users.ids) != len(users.codes):
        again = np.setdiff1d(np.arange(len(users.codes)), np.unique(users.codes, return_index=True)[1])[0]
        raise UserError(
            f"user {users.ids[users.codes[again]]!r} is there already",
            where=table.where(int(again)),
            how="put all items of a user into one row",
        )
    lengths = pc.fill_null(pc.list_value_length(histories), 0).to_numpy()
    items = pc.list_flatten(histories)
    row_of_item = np.repeat(np.arange(len(lengths)), lengths)
    return RawLog(
        user=Coded(np.repeat(users.codes, lengths), users.ids),
        item=coded_ids(items, "item", lambda position: table.where(int(row_of_item[position]))),
        timestamp=None,
        rating=None,
        where=str(table.path),
    )
