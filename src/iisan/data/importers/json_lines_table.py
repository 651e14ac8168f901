"""Reading JSON Lines: one object a line, plain or gzip."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from iisan.data.importers.bounded_lines import bounded_lines
from iisan.data.importers.json_values import LIST_SEPARATOR as LIST_SEPARATOR
from iisan.data.importers.json_values import json_text
from iisan.data.importers.missing_columns import require_columns
from iisan.errors import UserError

ROWS_OF_A_CHUNK = 1 << 16
ROWS_FOR_NAMES = 1000


@dataclass(frozen=True)
class JsonLinesTable:
    """A JSON Lines file; numbers become text as written by Python, lists are joined by a comma.

    Attributes:
        path: The file; gzip by the suffix ``.gz``.
    """

    path: Path

    def columns(self) -> list[str]:
        """Keys of the first thousand objects, in order of appearance.

        Raises:
            UserError: The file is missing, empty or malformed.
        """
        names: dict[str, None] = {}
        for _, record in islice(self._records(), ROWS_FOR_NAMES):
            names.update(dict.fromkeys(record))
        if not names:
            raise UserError("the file is empty", where=str(self.path), how="copy it again, whole")
        return list(names)

    def read(self, names: Sequence[str], ids: Collection[str] = ()) -> pa.Table:
        """Read some keys of every object; one without the key gives null.

        Args:
            names: The keys, in this order.
            ids: Those of them with few distinct values, to be read as dictionaries.

        Raises:
            UserError: A line is malformed, has more than 16 MiB or holds an object as value, or no object has one of
                the keys.
        """
        schema = pa.schema([(name, pa.string()) for name in names])
        chunks, found = [], set[str]()
        records = self._records()
        while block := list(islice(records, ROWS_OF_A_CHUNK)):
            columns = {name: [self._text(line, record.get(name)) for line, record in block] for name in names}
            found |= {name for name, values in columns.items() if any(value is not None for value in values)}
            chunks.append(self._encoded(pa.table(columns, schema=schema), ids))
        available = self.columns()
        require_columns(names, [*available, *found], str(self.path))
        return pa.concat_tables(chunks).unify_dictionaries()

    def where(self, row: int) -> str:
        """Name the line of a row (from 0) for an error."""
        line = next(islice(self._records(), row, None))[0]
        return f"{self.path}, line {line}"

    def _records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        opener = gzip.open if self.path.suffix == ".gz" else open
        try:
            with cast(BinaryIO, opener(self.path, "rb")) as stream:
                for number, line in enumerate(bounded_lines(stream, self.path), start=1):
                    if line.strip():
                        yield number, self._record(number, line)
        except FileNotFoundError:
            raise UserError("the file does not exist", where=str(self.path), how="name a table") from None
        except (OSError, EOFError, zlib.error) as error:
            how = "copy it again, whole"
            raise UserError(f"the file cannot be read ({error})", where=str(self.path), how=how) from error

    def _record(self, number: int, line: bytes) -> dict[str, Any]:
        where = f"{self.path}, line {number}"
        try:
            record = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError as error:
            raise UserError(f"the text is not UTF-8 ({error})", where=where, how="convert the file") from error
        except (ValueError, RecursionError) as error:
            raise UserError(f"malformed JSON ({error})", where=where, how="put one object on each line") from error
        if not isinstance(record, dict):
            raise UserError("the line is not a JSON object", where=where, how="put one object on each line")
        return record

    def _text(self, line: int, value: Any) -> str | None:
        try:
            return json_text(value)
        except UserError as error:
            raise UserError(error.what, where=f"{self.path}, line {line}", how=error.how) from error

    @staticmethod
    def _encoded(table: pa.Table, ids: Collection[str]) -> pa.Table:
        for index, name in enumerate(table.column_names):
            if name in ids:
                table = table.set_column(index, name, table.column(index).dictionary_encode())
        return table
