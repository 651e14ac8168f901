"""The items of MicroLens: titles, covers and what was counted of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from iisan.data.importers.delimited_table import DelimitedTable
from iisan.data.importers.item_pictures import item_pictures
from iisan.data.importers.items_of_log import items_of_log
from iisan.data.importers.log import RawLog
from iisan.data.importers.memory_table import PICTURE, MemoryTable
from iisan.data.importers.title_lines import read_title_lines
from iisan.errors import UserError

TITLES_HEADER = ["item", "title"]


def read_titles(path: Path) -> MemoryTable:
    """Read titles: CSV where the first line is the header `item,title`, else one a line.

    Returns:
        A table of ``item_id`` and ``title``.

    Raises:
        UserError: The file is missing or a line is malformed.
    """
    if _first_line(path) != TITLES_HEADER:
        return read_title_lines(path)
    table = DelimitedTable(path, ",", quoted=True)
    return MemoryTable(path, table.read(TITLES_HEADER).rename_columns(["item_id", "title"]), table.where)


def no_titles(folder: Path) -> MemoryTable:
    """The same table without a row."""
    nothing = pa.array([], pa.string())
    return MemoryTable(folder, pa.table({"item_id": nothing, "title": nothing}), lambda row: f"{folder}, item {row}")


def with_covers(table: MemoryTable, pictures: Path, raw: RawLog) -> MemoryTable:
    """Titles with their covers in a column ``PICTURE``, and below them the items of a log that have only a cover.

    Raises:
        UserError: There is no such folder, or no file in it is named after an item.
    """
    titled = table.data.column("item_id").to_pylist()
    known = set(titled)
    untitled = [one for one in items_of_log(raw) if one not in known]
    covers = item_pictures(pictures, [*titled, *untitled])
    shown = [(one, cover) for one, cover in zip(untitled, covers[len(titled) :], strict=True) if cover is not None]
    more = pa.table(
        {
            "item_id": pa.array([one for one, _ in shown], pa.string()),
            "title": pa.array([None] * len(shown), pa.string()),
        }
    )
    data = pa.concat_tables([table.data, more])
    files = [*covers[: len(titled)], *(cover for _, cover in shown)]
    return MemoryTable(table.path, data.append_column(PICTURE, pa.array(files, pa.string())), table.where)


def with_counts(table: MemoryTable, path: Path, names: Sequence[str]) -> MemoryTable:
    """Items with the columns ``likes`` or ``views`` of a file `item<TAB>likes<TAB>views` without a header line.

    Raises:
        UserError: The file is missing or a line is malformed.
    """
    counts = DelimitedTable(path, "\t", quoted=False, names=("item_id", "likes", "views"))
    read = counts.read(["item_id", *names]).to_pydict()
    row_of = {one: row for row, one in enumerate(read["item_id"])}
    rows = [row_of.get(one) for one in table.data.column("item_id").to_pylist()]
    data = table.data
    for name in names:
        values = [None if row is None else read[name][row] for row in rows]
        data = data.append_column(name, pa.array(values, pa.string()))
    return MemoryTable(table.path, data, table.where)


def _first_line(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as stream:
            return [name.strip().strip('"') for name in stream.readline().split(",")]
    except OSError as error:
        what = f"the file cannot be read ({error.strerror or error})"
        raise UserError(what, where=str(path), how="name another, or mend its rights") from error
