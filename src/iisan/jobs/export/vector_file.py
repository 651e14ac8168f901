"""Vectors in Parquet, written some rows at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

# With 64 numbers a vector these are 16 MiB, which is also what a reader holds of a file at once.
ROWS_AT_ONCE = 65_536


def vector_type(dim: int) -> pa.DataType:
    """The Arrow type of vectors of so many numbers."""
    return pa.list_(pa.float32(), dim)


def vector_column(vectors: Tensor) -> pa.FixedSizeListArray:
    """Vectors ``[n, d]`` as a column."""
    flat = vectors.detach().cpu().float().contiguous().numpy().reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float32()), vectors.shape[1])


def write_parts(path: Path, schema: pa.Schema, parts: Iterable[pa.Table]) -> None:
    """Writes tables of one schema, one after the other; each is a row group.

    Raises:
        OSError: The file cannot be written.
    """
    # Vectors and ids hardly repeat; a dictionary of them would be built only to be thrown away.
    repeated = [field.name for field in schema if pa.types.is_string(field.type) and not field.name.endswith("_id")]
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=repeated) as writer:
        for part in parts:
            writer.write_table(part)


def write_rows(path: Path, item_ids: Sequence[str], vectors: Tensor | None) -> None:
    """Writes the place of each item, ``row``, its ``item_id`` and, where there are any, its ``own_vector`` ``[N, d]``.

    Raises:
        OSError: The file cannot be written.
    """
    fields = [("row", pa.int64()), ("item_id", pa.string())]
    if vectors is not None:
        fields.append(("own_vector", vector_type(vectors.shape[1])))
    schema = pa.schema(fields)
    starts = range(0, len(item_ids), ROWS_AT_ONCE)
    write_parts(path, schema, (_rows(item_ids, vectors, start, schema) for start in starts))


def _rows(item_ids: Sequence[str], vectors: Tensor | None, start: int, schema: pa.Schema) -> pa.Table:
    ids = item_ids[start : start + ROWS_AT_ONCE]
    columns = [pa.array(range(start, start + len(ids)), pa.int64()), pa.array(ids, pa.string())]
    if vectors is not None:
        columns.append(vector_column(vectors[start : start + ROWS_AT_ONCE]))
    return pa.Table.from_arrays(columns, schema=schema)
