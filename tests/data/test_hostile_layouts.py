"""Whatever stands in the files of a published layout: a dataset or one clear line, and nothing left behind."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iisan.data import (
    Amazon2023Import,
    Dataset,
    MicroLensImport,
    MovieLensImport,
    RecBoleImport,
    import_amazon_2023,
    import_microlens,
    import_movielens,
    import_recbole,
)
from iisan.errors import UserError

Import = Callable[[Path, Path], Dataset]
Files = dict[str, bytes]

WORDS = "a b 1 -0 1e999 nan null 0.5 2014-01-01 99999999999999999999 &amp; (1995) item,title user,item,timestamp"
PIECES = [word.encode() for word in WORDS.split()] + [
    *(b",", b"\t", b"|", b":", b"::", b'"', b'""', b"\n", b"\r\n", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf", b" "),
    *(b"{", b"}", b"[", b"]", b"\xc2\x85", "ü\u2028".encode(), b"x:token", b"x:float_seq"),
    *(b'{"parent_asin": "c", "title": 1, "features": "x", "timestamp": "7"}\n', b'{"a": 1}{"a": 2}\n', b"null\n"),
    *(b'"parent_asin": "a"', b'"user_id": [1]', b'"timestamp": 1e30', b"\\ud800", b"1\t1\t1\t1\n", b"1::1::1::1\n"),
]
BYTES = st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join)


def recbole(folder: Path, output: Path) -> Dataset:
    return import_recbole(RecBoleImport(folder=folder, unknown_items="drop"), output)


def movielens(folder: Path, output: Path) -> Dataset:
    return import_movielens(MovieLensImport(folder=folder, unknown_items="drop"), output)


def amazon(folder: Path, output: Path) -> Dataset:
    config = Amazon2023Import(meta=folder / "m.jsonl", reviews=(folder / "r.jsonl",), unknown_items="drop")
    return import_amazon_2023(config, output)


def microlens(folder: Path, output: Path) -> Dataset:
    return import_microlens(MicroLensImport(folder=folder, unknown_items="drop"), output)


LAYOUTS: list[tuple[Import, Files]] = [
    (
        recbole,
        {
            "x.inter": b"user_id:token\titem_id:token\ttimestamp:float\n1\t1\t1\n",
            "x.item": b"item_id:token\ttitle:token\n1\ta\n",
        },
    ),
    (movielens, {"u.data": b"1\t1\t1\t1\n", "u.item": b"1|a|||x|1\n", "u.genre": b"Action|0\n"}),
    (movielens, {"ratings.dat": b"1::1::1::1\n", "movies.dat": b"1::a::b\n"}),
    (
        movielens,
        {"ratings.csv": b"userId,movieId,rating,timestamp\n1,1,1,1\n", "movies.csv": b"movieId,title,genres\n1,a,b\n"},
    ),
    (
        amazon,
        {
            "r.jsonl": b'{"user_id": "u", "parent_asin": "a", "rating": 1.0, "timestamp": 1}\n',
            "m.jsonl": b'{"parent_asin": "a", "title": "t"}\n',
        },
    ),
    (microlens, {"M_pairs.csv": b"user,item,timestamp\n1,1,1\n", "M_titles.csv": b"item,title\n1,a\n"}),
    (microlens, {"M_pairs.tsv": b"1\t1 1\n", "M_title.csv": b"1,a\n"}),
]


@pytest.mark.parametrize(("run", "files"), LAYOUTS, ids=[f"{run.__name__}-{min(files)}" for run, files in LAYOUTS])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_layouts(run: Import, files: Files, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "in"
        folder.mkdir()
        for file, content in files.items():
            whole = content if data.draw(st.booleans(), label=f"{file} starts well") else b""
            (folder / file).write_bytes(whole + data.draw(BYTES, label=file))
        result = dataset_or_complaint(run, folder, Path(name) / "out")
        if isinstance(result, str):
            assert result
            assert "\n" not in result
            assert [path.name for path in Path(name).iterdir()] == ["in"]
            return
        result.verify()
        assert result.n_items >= 1
        assert len(result.interactions) >= 1


def dataset_or_complaint(run: Import, folder: Path, output: Path) -> Dataset | str:
    try:
        return run(folder, output)
    except UserError as error:
        return str(error)


def test_nulls_where_objects_should_stand(tmp_path: Path) -> None:
    """pyarrow's JSON reader crashes on a file that starts with one."""
    (tmp_path / "m.jsonl").write_text('{"parent_asin": "a", "title": "t"}\n')
    (tmp_path / "r.jsonl").write_text("null\n")
    with pytest.raises(UserError, match=r"r\.jsonl, line 1: the line is not a JSON object"):
        amazon(tmp_path, tmp_path / "out")
