"""Reading titles without a header line, `item,title`, as MicroLens has them: one a line, quotes in any state."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from iisan.data.importers.memory_table import MemoryTable, lines_of
from iisan.errors import UserError


def read_title_lines(path: Path) -> MemoryTable:
    """Read such a file: what stands after the first comma of a line is the title.

    The published files have quotes that are never closed, which a CSV reader takes for titles of many lines. A title
    that stands in quotes as CSV wants it loses them.

    Returns:
        A table of ``item_id`` and ``title``.

    Raises:
        UserError: The file is missing, empty or not UTF-8, or a line has no comma.
    """
    ids, titles, numbers = [], [], []
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        item_id, comma, title = line.rstrip("\r").partition(",")
        if not comma:
            where = f"{path}, line {number}"
            raise UserError("no comma between item and title", where=where, how="write one item,title a line")
        ids.append(item_id.strip())
        titles.append(_unquoted(title.strip()))
        numbers.append(number)
    if not ids:
        raise UserError("the file is empty", where=str(path), how="copy it again, whole")
    data = pa.table({"item_id": pa.array(ids, pa.string()), "title": pa.array(titles, pa.string())})
    return MemoryTable(path, data, lines_of(path, numbers))


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        what = f"the file cannot be read ({error.strerror or error})"
        raise UserError(what, where=str(path), how="name another, or mend its rights") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        where = f"{path}, line {line}"
        raise UserError(f"the text is not UTF-8 ({error.reason})", where=where, how="convert the file") from error


def _unquoted(title: str) -> str:
    """The title without the quotes of CSV, where it stands in them whole and each quote inside is doubled."""
    inside = title[1:-1]
    if len(title) < 2 or title[0] != '"' or title[-1] != '"' or '"' in inside.replace('""', ""):
        return title
    return inside.replace('""', '"')
