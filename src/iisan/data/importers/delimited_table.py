"""Reading CSV and TSV with pyarrow, and saying which line is at fault when that fails."""

from __future__ import annotations

import codecs
import contextlib
import csv
import gzip
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO, cast

import pyarrow as pa
import pyarrow.csv as arrow_csv

from iisan.data.importers.bounded_lines import MAX_LINE_BYTES, bounded_lines
from iisan.data.importers.missing_columns import require_columns
from iisan.errors import UserError

# A record must fit into one block.
BLOCK_BYTES = MAX_LINE_BYTES
# The reader that looks for a fault must not stumble over what is none; it would at 128 KiB.
csv.field_size_limit(BLOCK_BYTES)
READ_ERRORS = (pa.ArrowException, OSError, EOFError, UnicodeError, zlib.error, csv.Error)


@dataclass(frozen=True)
class DelimitedTable:
    """A text table, plain or gzip (by the suffix ``.gz``); every value is text.

    Attributes:
        path: The file.
        delimiter: One character between fields.
        quoted: Fields may stand in double quotes and then hold delimiters and line breaks (CSV); otherwise a quote
            character is a character like any other (TSV).
        encoding: Encoding of the text.
        names: Column names where the file has no header line, else empty.
    """

    path: Path
    delimiter: str
    quoted: bool
    encoding: str = "utf-8"
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            UserError: The delimiter is not one character or the encoding is unknown.
        """
        if len(self.delimiter) != 1 or not self.delimiter.isascii() or self.delimiter in '\r\n"':
            what = f"the delimiter {self.delimiter!r} is not one plain character"
            raise UserError(what, where=str(self.path), how="give one")
        try:
            codecs.lookup(self.encoding)
        except LookupError:
            raise UserError(f"unknown encoding {self.encoding!r}", where=str(self.path), how="try latin-1") from None

    def columns(self) -> list[str]:
        """Column names.

        Raises:
            UserError: The file is missing, empty or not of the encoding, or a name repeats.
        """
        if self.names:
            return list(self.names)
        try:
            first = next((fields for _, fields in self._records()), None)
        except READ_ERRORS as error:
            raise self._fault(error) from error
        if first is None:
            raise UserError("the file is empty", where=str(self.path), how="copy it again, whole")
        repeated = sorted({name for name in first if first.count(name) > 1})
        if repeated:
            raise UserError(f"columns {repeated} occur twice", where=f"{self.path}, line 1", how="rename one")
        return first

    def read(self, names: Sequence[str], ids: Collection[str] = ()) -> pa.Table:
        """Read some columns.

        Args:
            names: The columns, in this order.
            ids: Those of them with few distinct values, to be read as dictionaries, which saves memory.

        Returns:
            A table of strings, or dictionaries of strings.

        Raises:
            UserError: A column or the file is missing, a line has the wrong number of fields, the text is not of the
                encoding, or there are no rows.
        """
        require_columns(names, self.columns(), str(self.path))
        text = pa.string()
        types = {name: pa.dictionary(pa.int32(), text) if name in ids else text for name in names}
        try:
            table = arrow_csv.read_csv(
                self.path,
                read_options=arrow_csv.ReadOptions(
                    column_names=list(self.names) or None, block_size=BLOCK_BYTES, encoding=self.encoding
                ),
                parse_options=arrow_csv.ParseOptions(
                    delimiter=self.delimiter,
                    quote_char='"' if self.quoted else False,
                    double_quote=self.quoted,
                    newlines_in_values=self.quoted,
                ),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=types, include_columns=list(names), strings_can_be_null=False
                ),
            )
        except READ_ERRORS as error:
            raise self._fault(error) from error
        if table.num_rows == 0:
            raise UserError("the file has no rows", where=str(self.path), how="copy it again, whole")
        self._check_last_quote(table)
        return table.unify_dictionaries()

    def where(self, row: int) -> str:
        """Name the line of a row (from 0) for an error."""
        skip = 0 if self.names else 1
        # Where the slower reader stumbles over what pyarrow let pass, the number of the row has to do.
        with contextlib.suppress(csv.Error, UserError):
            for number, (line, _) in enumerate(self._records()):
                if number == row + skip:
                    return f"{self.path}, line {line}"
        return f"{self.path}, row {row + 1}"

    def _open(self) -> TextIO:
        encoding = "utf-8-sig" if codecs.lookup(self.encoding).name == "utf-8" else self.encoding
        newline = "" if self.quoted else None
        if self.path.suffix == ".gz":
            return gzip.open(self.path, "rt", encoding=encoding, newline=newline)
        return self.path.open(encoding=encoding, newline=newline)

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Records with the number of the line they start on; slow, for headers and faults only."""
        with self._open() as stream:
            if not self.quoted:
                for number, line in enumerate(bounded_lines(stream, self.path), start=1):
                    if line != "\n":
                        yield number, line.removesuffix("\n").split(self.delimiter)
                return
            reader = csv.reader(bounded_lines(stream, self.path), delimiter=self.delimiter, strict=True)
            start = 1
            for fields in reader:
                if fields:
                    yield start, fields
                start = reader.line_num + 1

    def _fault(self, error: Exception) -> UserError:
        """The error a person can act on, found by reading the file again line by line."""
        if isinstance(error, FileNotFoundError):
            return UserError("the file does not exist", where=str(self.path), how="name a table")
        line, expected = 0, 0
        try:
            for line, fields in self._records():
                expected = expected or len(self.names) or len(fields)
                if len(fields) != expected:
                    what = f"{len(fields)} fields instead of {expected}"
                    return UserError(what, where=f"{self.path}, line {line}", how=self._how_fields())
        except UserError as long:
            return long
        except UnicodeError as decoding:
            return UserError(
                f"the text is not {self.encoding} ({decoding})", where=self._undecodable_line(), how="give its encoding"
            )
        except csv.Error as parsing:
            how = "shorten it" if "limit" in str(parsing) else "mend the quotes"
            return UserError(f"malformed CSV ({parsing})", where=f"{self.path}, after line {line}", how=how)
        except (OSError, EOFError, zlib.error) as reading:
            return UserError(f"the file cannot be read ({reading})", where=str(self.path), how="copy it again, whole")
        if not expected:
            return UserError("the file is empty", where=str(self.path), how="copy it again, whole")
        return UserError(f"the table cannot be read ({error})", where=str(self.path), how="mend the file")

    def _how_fields(self) -> str:
        return "mend the line, or name another delimiter" if self.quoted else "a field may not hold the delimiter"

    def _undecodable_line(self) -> str:
        opener = gzip.open if self.path.suffix == ".gz" else open
        with cast(BinaryIO, opener(self.path, "rb")) as stream:
            for number, line in enumerate(bounded_lines(stream, self.path), start=1):
                try:
                    line.decode(self.encoding)
                except UnicodeError:
                    return f"{self.path}, line {number}"
        return str(self.path)

    def _check_last_quote(self, table: pa.Table) -> None:
        """Refuse a quote that is never closed: pyarrow takes all lines after it for one value."""
        last = table.slice(table.num_rows - 1).to_pylist()[0]
        if not self.quoted or not any(value and "\n" in value for value in last.values()):
            return
        line = 0
        try:
            for start, _ in self._records():
                line = start
        except csv.Error as error:
            where = f"{self.path}, after line {line}"
            raise UserError(f"malformed CSV ({error})", where=where, how="close the quote") from error
