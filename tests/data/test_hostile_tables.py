"""Whatever stands in a table: a dataset or one clear line, never a traceback, and nothing left behind."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from iisan.data import Dataset, DelimitedImport, IisanImport, import_delimited, import_iisan
from iisan.errors import UserError

WORDS = "item_id title a b u 1 -0 1e999 nan null 2014-01-01 2014-01-01T10:00:00+02:00 99999999999999999999 &amp;"
PIECES = [word.encode() for word in WORDS.split()] + [
    *(b",", b"\t", b'"', b'""', b"\n", b"\r\n", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf", b" ", "ü\u2028".encode()),
    *(b"{", b"}", b"[", b"]", b":", b'{"item_id": ["a"], "title": 1e400}\n', b"a,x\n", b"b\tx\n", b"u,a,1\n"),
]
HEAD = {
    ".csv": (b"item_id,title\na,x\n", b"user_id,item_id,timestamp\nu,a,1\n"),
    ".tsv": (b"item_id\ttitle\na\tx\n", b"user_id\titem_id\ttimestamp\nu\ta\t1\n"),
    ".jsonl": (b'{"item_id": "a", "title": "x"}\n', b'{"user_id": 1, "item_id": "a", "timestamp": 0}\n'),
}
BYTES = st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join)


def import_or_complain(config: DelimitedImport | IisanImport, folder: Path) -> Dataset | str:
    before = sorted(folder.iterdir())
    try:
        if isinstance(config, DelimitedImport):
            return import_delimited(config, folder / "out")
        return import_iisan(config, folder / "out")
    except UserError as error:
        left = sorted(folder.iterdir())
        assert left == before
        return str(error)


def check(result: Dataset | str) -> None:
    if isinstance(result, str):
        assert result
        assert "\n" not in result
        return
    result.verify()
    assert len(result.item_ids) == len(result.texts("text")) >= 1
    assert len(result.interactions) >= 1


@settings(max_examples=150, deadline=None)
@given(items=BYTES, log=BYTES, suffix=st.sampled_from(sorted(HEAD)), packed=st.booleans(), headed=st.booleans())
@example(items=b'"', log=b"", suffix=".csv", packed=False, headed=False)
def test_text_tables(items: bytes, log: bytes, suffix: str, packed: bool, headed: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, end = Path(name), f"{suffix}.gz" if packed else suffix
        head = HEAD[suffix] if headed else (b"", b"")
        for table, content in (("items", head[0] + items), ("log", head[1] + log)):
            (folder / f"{table}{end}").write_bytes(gzip.compress(content) if packed else content)
        config = DelimitedImport(items=folder / f"items{end}", interactions=folder / f"log{end}", unknown_items="drop")
        check(import_or_complain(config, folder))


@settings(max_examples=80, deadline=None)
@given(items=BYTES, users=BYTES)
def test_published_tables(items: bytes, users: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "items.tsv").write_bytes(b"a\tx\n" + items)
        (folder / "users.tsv").write_bytes(b"u\ta a\n" + users)
        config = IisanImport(items=folder / "items.tsv", users=folder / "users.tsv", unknown_items="drop")
        check(import_or_complain(config, folder))


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.sampled_from(["a", "", " ", "1", "x" * 50]),
    st.floats(width=32),
    st.datetimes(),
    st.dates(),
    st.binary(max_size=3),
    st.lists(st.sampled_from(["a", "b"]), max_size=2),
    st.just({"x": 1}),
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-5, max_value=5),
)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_parquet_of_any_type(data: st.DataObject) -> None:
    columns = {}
    for column in ("item_id", "title", "user_id", "timestamp"):
        first = data.draw(VALUES)
        columns[column] = [first, first] if data.draw(st.booleans()) else [first, None]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pq.write_table(pa.table(columns), folder / "log.parquet")
        pq.write_table(pa.table(columns).slice(0, 1), folder / "items.parquet")
        config = DelimitedImport(
            items=folder / "items.parquet", interactions=folder / "log.parquet", unknown_items="drop"
        )
        check(import_or_complain(config, folder))


@settings(max_examples=80, deadline=None)
@given(position=st.integers(0, 2000), value=st.integers(0, 255))
def test_parquet_with_a_wrong_byte(position: int, value: int) -> None:
    table = pa.table({"item_id": ["a", "b"], "title": ["x", "y"], "user_id": ["u", "u"], "timestamp": [1, 2]})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    content = bytearray(buffer.getvalue())
    content[position % len(content)] = value
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "both.parquet").write_bytes(bytes(content))
        config = DelimitedImport(items=folder / "both.parquet", interactions=folder / "both.parquet")
        check(import_or_complain(config, folder))


MEMORY = """
import resource, sys
from pathlib import Path
from iisan.data.importers.tables import find_table
from iisan.errors import UserError

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    find_table(Path(sys.argv[1])).read(["title"])
except UserError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


@pytest.mark.parametrize("suffix", [".csv.gz", ".tsv.gz", ".jsonl.gz", ".parquet"])
def test_a_text_that_would_fill_the_memory(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"items{suffix}"
    if suffix == ".parquet":
        long = pa.DictionaryArray.from_arrays(pa.array([0] * 400, pa.int32()), ["x" * (20 << 20)])
        pq.write_table(pa.table({"title": long}), path)
    else:
        with gzip.open(path, "wb", 1) as file:
            file.write(b'{"title": "' if suffix == ".jsonl.gz" else b"title\n")
            for _ in range(500):
                file.write(bytes([0xFF if suffix == ".tsv.gz" else ord("x")]) * (1 << 20))
    command = [sys.executable, "-c", MEMORY, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    message, mebibytes = done.stdout.splitlines()
    assert "over the limit of 16,777,216 bytes; shorten it" in message
    assert str(path) in message
    assert int(mebibytes) < 400
