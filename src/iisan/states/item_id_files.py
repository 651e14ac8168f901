"""Item ids in files, one for each row of states."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from iisan.data.importers.columns import coded_ids
from iisan.data.importers.delimited_table import DelimitedTable
from iisan.data.importers.parquet_table import ParquetTable
from iisan.errors import UserError
from iisan.states.npy_file import map_npy
from iisan.states.state_rows import StateRows

TABLES = (".parquet", ".csv", ".tsv")
SUFFIXES = (".txt", ".json", *TABLES, ".ids.npy")
ID_COLUMN = "item_id"


def ids_of_states(states: StateRows, paths: Sequence[Path] = (), column: str | None = None) -> list[str]:
    """Find out whose states they are.

    Args:
        states: Rows of states.
        paths: A file of ids for each file of states, or one for all of them. By default each file of states has one
            beside it, of the same name but for the suffix: ``.txt``, ``.json``, ``.parquet``, ``.csv``, ``.tsv`` or
            ``.ids.npy``.
        column: Of a table; by default ``item_id``, or its only one.

    Returns:
        The id of each row.

    Raises:
        UserError: A file cannot be read, or there are more or fewer ids than rows.
    """
    names = [str(file.path) for file in states.files]
    counts = [file.shape[0] for file in states.files]
    chosen = list(paths) or [_beside(file.path) for file in states.files]
    if len(chosen) == 1:
        names, counts = [names[0] if len(names) == 1 else f"{len(names)} files of states"], [len(states)]
    elif len(chosen) != len(names):
        raise UserError(
            f"{len(chosen)} files of ids for {len(names)} of states",
            where="item ids",
            how="bring one for each file of states, in the same order, or one for all of them",
        )
    ids: list[str] = []
    for path, name, count in zip(chosen, names, counts, strict=True):
        part = read_item_ids(path, column)
        if len(part) != count:
            raise UserError(f"{len(part):,} ids for {count:,} rows of {name}", where=str(path), how="bring one a row")
        ids += part
    return ids


def read_item_ids(path: Path, column: str | None = None) -> list[str]:
    """Read ids from a text file (one a line), a JSON list, a table, or a ``.npy`` array of texts or integers.

    Args:
        path: The file; its suffix tells the format.
        column: Of a table; by default ``item_id``, or its only one.

    Raises:
        UserError: The file cannot be read or holds something else, or an id is blank.
    """
    suffix = path.suffix.lower()
    if suffix in TABLES:
        return _from_table(path, suffix, column)
    if column is not None:
        raise UserError("the file has no columns", where=str(path), how="leave out the column")
    readers = {".txt": _from_lines, ".json": _from_json, ".npy": _from_npy}
    if suffix not in readers:
        known = ", ".join([*readers, *TABLES])
        raise UserError(f"ids come as {known}, not '{suffix}'", where=str(path), how="write them as one of these")
    ids = readers[suffix](path)
    blank = next((row for row, one in enumerate(ids) if not one.strip()), None)
    if blank is not None:
        raise UserError("the item id is blank", where=f"{path}, row {blank + 1}", how="give each row an id")
    return ids


def _beside(path: Path) -> Path:
    found = [beside for suffix in SUFFIXES if (beside := path.with_suffix(suffix)).is_file()]
    if len(found) != 1:
        what = "no file of item ids is beside it" if not found else f"{found[0].name} and {found[1].name} are beside it"
        raise UserError(what, where=str(path), how="name the file of ids with --ids")
    return found[0]


def _from_table(path: Path, suffix: str, column: str | None) -> list[str]:
    table = ParquetTable(path) if suffix == ".parquet" else DelimitedTable(path, *_FORMS[suffix])
    name = _column(table.columns(), column, path)
    coded = coded_ids(table.read([name], ids=[name]).column(name), "item", table.where)
    return [coded.ids[code] for code in coded.codes]


_FORMS = {".csv": (",", True), ".tsv": ("\t", False)}


def _column(there: list[str], wanted: str | None, path: Path) -> str:
    name = wanted or (there[0] if len(there) == 1 else ID_COLUMN)
    if name not in there:
        raise UserError(f"no column '{name}'", where=str(path), how=f"name one of: {', '.join(there)}")
    return name


def _from_lines(path: Path) -> list[str]:
    lines = _text(path).split("\n")  # splitlines would also cut at characters that an id may hold
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def _from_json(path: Path) -> list[str]:
    try:
        ids = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"no readable JSON ({error})", where=str(path), how="write a list of ids") from error
    if not isinstance(ids, list):
        raise UserError("the JSON is no list", where=str(path), how="write a list of ids")
    for row, one in enumerate(ids):
        if not isinstance(one, str | int) or isinstance(one, bool):
            raise UserError("an id is neither text nor integer", where=f"{path}, row {row + 1}", how="write it as text")
    return [str(one) for one in ids]


def _from_npy(path: Path) -> list[str]:
    array = map_npy(path)
    if array.ndim != 1 or array.dtype.kind not in "USiu":
        how = "write one array of texts or integers, an entry a row"
        raise UserError(f"the ids are {array.dtype} of shape {list(array.shape)}", where=str(path), how=how)
    if array.dtype.kind == "S":
        try:
            array = np.char.decode(array, "utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"an id is not UTF-8 ({error})", where=str(path), how="write the ids as text") from error
    return [str(one) for one in array.tolist()]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(
            f"the ids cannot be read ({reason})", where=str(path), how="write them as UTF-8 text"
        ) from error
