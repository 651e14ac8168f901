"""Reading the files of MovieLens 1M and 10M, whose fields are separated by `::`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from iisan.data.importers.delimited_table import READ_ERRORS, DelimitedTable
from iisan.data.importers.log import RawLog
from iisan.data.importers.log_table import ID, LogColumns, raw_log, read_typed
from iisan.errors import UserError

SEPARATOR = "::"
RATING_FIELDS = ("user", "item", "rating", "timestamp")


def read_double_colon_log(path: Path) -> RawLog:
    """Read a log of lines `user::item::rating::timestamp`.

    With a single colon as delimiter every second column is empty. Reading these as nulls checks that they are, and
    costs nothing, so that the file passes through the fast reader without being rewritten.

    Raises:
        UserError: The file is missing, or a line is malformed; it is named.
    """
    user, item, rating, time = RATING_FIELDS
    names = (user, "gap 1", item, "gap 2", rating, "gap 3", time)
    table = DelimitedTable(path, ":", quoted=False, names=names)
    types = dict.fromkeys(names, pa.null()) | {user: ID, item: ID, rating: pa.float64(), time: pa.int64()}
    try:
        raw = read_typed(table, types)
    except READ_ERRORS as error:
        raise _fault(path, error) from error
    return raw_log(raw, LogColumns(user, item, time, rating), table.where, str(path))


def double_colon_lines(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Fields of each line with its number; blank lines are left out."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line.rstrip("\r").split(SEPARATOR)


def _fault(path: Path, error: Exception) -> UserError:
    """The error a person can act on, found by reading the file again line by line."""
    if isinstance(error, FileNotFoundError):
        return UserError("the file does not exist", where=str(path), how="add it")
    number = 0
    with path.open(encoding="utf-8", errors="replace") as stream:
        for number, line in enumerate(stream, start=1):
            complaint = _complaint(line.rstrip("\r\n")) if line.strip() else ""
            if complaint:
                return UserError(complaint, where=f"{path}, line {number}", how="write user::item::rating::timestamp")
    what = f"the file cannot be read ({error})" if number else "the file is empty"
    return UserError(what, where=str(path), how="copy it again, whole")


def _complaint(line: str) -> str:
    fields = line.split(SEPARATOR)
    if len(fields) != len(RATING_FIELDS):
        return f"{len(fields)} fields instead of {len(RATING_FIELDS)}"
    if any(":" in field for field in fields):
        return "a field holds a colon"
    for name, value, kind in (("rating", fields[2], float), ("timestamp", fields[3], int)):
        try:
            kind(value)
        except ValueError:
            return f"the {name} {value!r} is not a number"
    return ""
