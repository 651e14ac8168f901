"""Columns of a table as texts, ids and numbers, with the line at fault where a value is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from iisan.data.importers.json_values import LIST_SEPARATOR
from iisan.data.interactions import Rows, Timestamps
from iisan.errors import UserError

Where = Callable[[int], str]

MICROSECONDS = 1_000_000
MEND = "mend the line, or leave it out"


@dataclass(frozen=True, eq=False)
class Coded:
    """A column of ids as codes: ``ids[codes[row]]``.

    Attributes:
        codes: ``[M]``, int64.
        ids: The distinct ids.
    """

    codes: Rows
    ids: list[str]


def texts(column: pa.ChunkedArray, where: Where) -> list[str | None]:
    """Values of a column as text; lists of texts are joined by a comma.

    Raises:
        UserError: The column holds what is no text.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return [None if one is None else LIST_SEPARATOR.join(str(part) for part in one) for one in column.to_pylist()]
    values: list[str | None] = _as_strings(column, where).to_pylist()
    return values


def coded_ids(column: pa.ChunkedArray, kind: str, where: Where) -> Coded:
    """Values of a column as ids.

    Args:
        column: Texts or integers.
        kind: What the ids stand for, for messages.
        where: Names a row in an error.

    Raises:
        UserError: An id is missing or blank, or the column holds neither texts nor integers.
    """
    value_type = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_integer(value_type) or _is_text(value_type)):
        raise UserError(f"{kind} ids are {value_type}, neither text nor integers", where=where(0), how="convert them")
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    column = column.unify_dictionaries()
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy())[0])
        raise UserError(f"the {kind} id is missing", where=where(row), how=MEND)
    ids: list[str] = column.chunk(0).dictionary.cast(pa.string()).to_pylist()
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in column.chunks]).astype(np.int64)
    blank = [code for code, one in enumerate(ids) if not one.strip()]
    at_fault = np.flatnonzero(np.isin(codes, blank)) if blank else np.empty(0, dtype=np.int64)
    if len(at_fault):
        raise UserError(f"the {kind} id is blank", where=where(int(at_fault[0])), how=MEND)
    return Coded(codes, ids)


def timestamps(column: pa.ChunkedArray, where: Where) -> Timestamps:
    """Values of a column as times.

    Numbers keep their unit; dates (ISO 8601; UTC where they name no zone) become seconds since 1970.

    Raises:
        UserError: A value is missing, not finite, or neither a number nor a date; its line is named.
    """
    dates = column if pa.types.is_temporal(column.type) else _as_dates(column)
    if dates is None:
        return numbers(column, "timestamp", where)
    if dates.null_count:
        raise UserError("the timestamp is missing", where=where(_first_null(dates)), how=MEND)
    micros: npt.NDArray[np.int64] = dates.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy()
    return micros / MICROSECONDS if (micros % MICROSECONDS).any() else micros // MICROSECONDS


def numbers(column: pa.ChunkedArray, kind: str, where: Where) -> npt.NDArray[np.int64] | npt.NDArray[np.float64]:
    """Values of a column as int64, or float64 where one is no integer.

    Args:
        column: Numbers, or texts that stand for numbers.
        kind: What they are, for messages.
        where: Names a row in an error.

    Raises:
        UserError: A value is missing, not finite or no number; its line is named.
    """
    if _is_text(column.type):
        column = pc.utf8_trim_whitespace(column)
    if column.null_count:
        raise UserError(f"the {kind} is missing", where=where(_first_null(column)), how=MEND)
    for target in (pa.int64(), pa.float64()):
        try:
            values: npt.NDArray[np.int64] | npt.NDArray[np.float64] = column.cast(target).to_numpy()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            continue
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise UserError(f"the {kind} is not finite", where=where(int(bad[0])), how=MEND)
        return values
    row, value = _first_unparsable(column)
    raise UserError(f"the {kind} {value!r} is not a number", where=where(row), how=MEND)


def _as_strings(column: pa.ChunkedArray, where: Where) -> pa.ChunkedArray:
    try:
        return column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        what = f"the column holds {column.type}, which is no text"
        raise UserError(what, where=where(0), how="name another column") from error


def _as_dates(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """A column of texts as dates, or None where they are none."""
    if not _is_text(column.type):
        return None
    for target in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            return column.cast(target)
        except pa.ArrowInvalid:
            continue
    return None


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _first_null(column: pa.ChunkedArray) -> int:
    return int(np.flatnonzero(column.is_null().to_numpy())[0])


def _first_unparsable(column: pa.ChunkedArray) -> tuple[int, object]:
    for row, value in enumerate(column.to_pylist()):
        try:
            float(value)
        except (TypeError, ValueError):
            return row, value
    return 0, column[0].as_py()
