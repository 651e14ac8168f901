"""Reading chosen fields of large JSON Lines files, one object a line, in blocks of bounded size."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import logging
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.json as arrow_json

from iisan.data.importers.columns import MEND
from iisan.errors import UserError

logger = logging.getLogger(__name__)

BLOCK_BYTES = 16 << 20
MAX_LINE_BYTES = 64 << 20
LARGEST_INTEGER = (1 << 63) - 1
NOT_AN_OBJECT = re.compile(rb"\n[^{]")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

BytesRead = Callable[[int, int], None]


@dataclass(frozen=True)
class JsonBlocks:
    """A JSON Lines file, plain or gzip (by the suffix ``.gz``), of which some fields are read.

    Values of other fields may be of any type, and of another one on every line. A fast reader takes each block; a block
    that it refuses is read again line by line, which converts what can be converted and names the line of what cannot.

    Attributes:
        path: The file.
        schema: The fields: texts, numbers, lists of texts, or lists of structs of texts.
    """

    path: Path
    schema: pa.Schema

    def tables(self, bytes_read: BytesRead | None = None) -> Iterator[pa.Table]:
        """The fields of each block in turn, a row for each line that is not blank.

        Args:
            bytes_read: Called after each block with the bytes of the file read so far, and all of them.

        Raises:
            UserError: The file is missing or damaged, or a line is malformed.
        """
        line = 1
        for block in self._blocks(bytes_read):
            lines = block.count(b"\n") + (not block.endswith(b"\n"))
            table = self._fast(block, lines)
            yield self._slow(block, line) if table is None else table
            line += lines

    def where(self, row: int) -> str:
        """Name the line of a row (from 0) for an error."""
        line = 0
        for block in self._blocks(None):
            for content in io.BytesIO(block):
                line += 1
                row -= bool(content.strip())
                if row < 0:
                    return f"{self.path}, line {line}"
        return str(self.path)

    def _blocks(self, bytes_read: BytesRead | None) -> Iterator[bytes]:
        """The file in blocks of whole lines."""
        try:
            total = self.path.stat().st_size
            with self.path.open("rb") as raw, self._unpacked(raw) as stream:
                start = stream.read(len(BYTE_ORDER_MARK)).removeprefix(BYTE_ORDER_MARK)
                while block := start + stream.read(BLOCK_BYTES):
                    start = b""
                    rest = b"" if block.endswith(b"\n") else stream.readline(MAX_LINE_BYTES)
                    if len(rest) == MAX_LINE_BYTES:
                        what = f"a line has more than {MAX_LINE_BYTES:,} bytes"
                        raise UserError(what, where=str(self.path), how="put one object on each line")
                    yield block + rest
                    if bytes_read is not None:
                        bytes_read(raw.tell(), total)
        except FileNotFoundError:
            raise UserError("the file does not exist", where=str(self.path), how="name another") from None
        except (OSError, EOFError, zlib.error) as error:
            what = f"the file cannot be read ({error})"
            raise UserError(what, where=str(self.path), how="copy it again, whole") from error

    def _unpacked(self, raw: BinaryIO) -> gzip.GzipFile | contextlib.nullcontext[BinaryIO]:
        return gzip.GzipFile(fileobj=raw) if self.path.suffix == ".gz" else contextlib.nullcontext(raw)

    def _fast(self, block: bytes, lines: int) -> pa.Table | None:
        """The block as the fast reader has it, or None where it refuses it or finds another number of objects."""
        if not block.startswith(b"{") or NOT_AN_OBJECT.search(block):
            return None  # A null in the place of the first object makes pyarrow's reader crash (seen in 26.0).
        try:
            table = arrow_json.read_json(
                pa.BufferReader(block),
                read_options=arrow_json.ReadOptions(block_size=len(block)),
                parse_options=arrow_json.ParseOptions(
                    explicit_schema=self.schema, unexpected_field_behavior="ignore", newlines_in_values=False
                ),
            )
            table.validate(full=True)
        except (pa.ArrowException, UnicodeError):
            return None
        return table.select(self.schema.names) if table.num_rows == lines else None

    def _slow(self, block: bytes, first_line: int) -> pa.Table:
        logger.info("%s is read line by line from line %d on: the fast reader refused that", self.path, first_line)
        records = []
        for number, line in enumerate(io.BytesIO(block), start=first_line):
            if line.strip():
                where = f"{self.path}, line {number}"
                record = _record(line, where)
                records.append({field.name: _value(record.get(field.name), field, where) for field in self.schema})
        return pa.Table.from_pylist(records, schema=self.schema)


def _record(line: bytes, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(f"the text is not UTF-8 ({error})", where=where, how="convert the file") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"malformed JSON ({error})", where=where, how="put one object on each line") from error
    if not isinstance(record, dict):
        raise UserError("the line is not a JSON object", where=where, how="put one object on each line")
    return record


def _value(value: Any, field: pa.Field, where: str) -> Any:
    """A value in the type of its field."""
    if value is None:
        return None
    if pa.types.is_list(field.type):
        listed = value if isinstance(value, list) else [value]
        return [_value(one, field.type.value_field.with_name(field.name), where) for one in listed]
    if pa.types.is_struct(field.type):
        if not isinstance(value, dict):
            raise UserError(f"{field.name!r} holds {_kind(value)} instead of objects", where=where, how=MEND)
        return {part.name: _value(value.get(part.name), part, where) for part in field.type}
    if isinstance(value, list | dict):
        raise UserError(f"{field.name!r} is {_kind(value)}", where=where, how="it may be a text or a number")
    return _text(value, field.name, where) if pa.types.is_string(field.type) else _number(value, field, where)


def _kind(value: Any) -> str:
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    return repr(value)


def _text(value: Any, name: str, where: str) -> str:
    text = str(value)
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise UserError(f"{name!r} holds half a surrogate pair", where=where, how="mend it")
    return text


def _number(value: Any, field: pa.Field, where: str) -> int | float:
    whole = pa.types.is_integer(field.type)
    try:
        number = value if isinstance(value, int) else float(value)
        if not whole or (number == int(number) and abs(number) <= LARGEST_INTEGER):
            return int(number) if whole else float(number)
    except (ValueError, OverflowError):
        pass
    raise UserError(f"{field.name!r} is {value!r}, not {'an integer' if whole else 'a number'}", where=where, how=MEND)
