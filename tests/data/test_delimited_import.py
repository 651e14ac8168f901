from __future__ import annotations

import csv
import gzip
import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iisan.data import Dataset, DelimitedImport, import_delimited
from iisan.errors import UserError

Value = str | int | float | None
Columns = dict[str, Sequence[Value]]


def write_table(path: Path, columns: Columns) -> None:
    """Write a table with nothing of the code under test."""
    names, rows = list(columns), list(zip(*columns.values(), strict=True))
    kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if kind == ".parquet":
        pq.write_table(pa.table(dict(columns)), path)
        return
    if kind == ".jsonl":
        lines = [json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=len(rows) % 2 == 0) for row in rows]
        text = "\n".join(lines) + "\n"
    elif kind == ".csv":
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\r\n").writerows([names, *rows])
        text = buffer.getvalue()
    else:
        lines = ["\t".join("" if value is None else str(value) for value in row) for row in [names, *rows]]
        text = "\n".join(lines) + "\n"
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def run(folder: Path, output: str = "out", **options: object) -> Dataset:
    settings = {"items": folder / "items.csv", "interactions": folder / "interactions.csv", **options}
    return import_delimited(DelimitedImport.model_validate(settings), folder / output)


def test_a_shop(shop: Path) -> None:
    calls: list[tuple[int, int | None, str]] = []
    config = DelimitedImport(
        items=shop / "items.csv",
        interactions=shop / "interactions.csv",
        text="{title} ({genre})",
        image_column="image",
        rating_column="stars",
        attributes=("genre",),
        unescape_html=True,
        name="Shop",
    )
    dataset = import_delimited(config, shop / "out", lambda *call: calls.append(call))
    assert dataset.name == "Shop"
    assert dataset.item_ids == ["a", "b", "c", "d"]
    assert dataset.titles == ["Mug, large", "Lamp & shade", 'The "best" chair', None]
    assert dataset.modalities == {"text": "text", "image": "image"}
    assert dataset.texts("text") == [
        "Mug, large (kitchen)",
        "Lamp & shade",
        'The "best" chair (office)',
        "(garden)",
    ]
    assert dataset.attribute("genre") == ["kitchen", None, "office", "garden"]
    assert dataset.user_ids == ["z", "y", "x"]
    log = dataset.interactions
    assert [(dataset.user_ids[u], dataset.item_ids[i]) for u, i in zip(log.user, log.item, strict=True)] == [
        ("z", "b"),
        ("z", "c"),
        ("z", "a"),
        ("y", "d"),
        ("y", "a"),
        ("x", "b"),
    ]
    assert log.timestamp is not None
    assert log.rating is not None
    assert log.timestamp.tolist() == [1, 5, 5, 2, 7, 3]
    assert log.rating.tolist() == [3, 4, 5, 5, 1, 2]
    paths = dataset.image_paths("image")
    assert paths[3] is None
    for number, path in enumerate(paths[:3]):
        assert path is not None
        assert path.read_bytes() == (shop / "pictures" / f"{number}.png").read_bytes()
        assert path.is_relative_to((shop / "out").resolve())
    assert dataset.manifest.counts.present == {"text": 4, "image": 3}
    assert dataset.rows_of(["c", "nope", "a"]).tolist() == [2, -1, 0]
    assert (2, 2, "tables") in calls
    assert (4, 4, "image files") in calls
    dataset.verify()


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\n\t\"',"), max_size=12)
PLAIN = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(), suffix=st.sampled_from([".csv", ".tsv", ".jsonl", ".parquet", ".csv.gz", ".tsv.gz", ".jsonl.gz"])
)
def test_round_trip(data: st.DataObject, suffix: str) -> None:
    text = PLAIN if "tsv" in suffix else TEXT
    ids = data.draw(st.lists(text.filter(lambda one: bool(one.strip())), min_size=1, max_size=6, unique=True))
    titles = data.draw(st.lists(text, min_size=len(ids), max_size=len(ids)))
    log = data.draw(
        st.lists(
            st.tuples(st.sampled_from(["u", "v", "ü w"]), st.sampled_from(ids), st.integers(-3, 3)),
            min_size=1,
            max_size=12,
        )
    )
    users, items, times = zip(*log, strict=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tables = {"items": folder / f"items{suffix}", "interactions": folder / f"log{suffix}"}
        write_table(tables["items"], {"item_id": ids, "title": titles})
        write_table(tables["interactions"], {"timestamp": times, "item_id": items, "user_id": users})
        dataset = run(folder, **tables)
        assert dataset.item_ids == ids
        assert dataset.texts("text") == [title if title.strip() else None for title in titles]
        assert dataset.titles == dataset.texts("text")
        order = list(dict.fromkeys(users))
        expected = sorted(log, key=lambda row: (order.index(row[0]), row[2]))
        got = dataset.interactions
        assert got.timestamp is not None
        assert [
            (dataset.user_ids[u], ids[i], int(t)) for u, i, t in zip(got.user, got.item, got.timestamp, strict=True)
        ] == expected
        dataset.verify()


def test_values_with_line_breaks_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files larger than a block are read in pieces, whose ends must not fall inside a quoted value."""
    monkeypatch.setattr("iisan.data.importers.delimited_table.BLOCK_BYTES", 256)
    ids = [f"item {number}" for number in range(300)]
    titles = [f"{number}\n" * (number % 7) + "end" for number in range(300)]
    users = [f"user {number % 11}" for number in range(300)]
    write_table(tmp_path / "items.csv", {"item_id": ids, "title": titles})
    write_table(tmp_path / "interactions.csv", {"user_id": users, "item_id": ids, "timestamp": [0] * 300})
    dataset = run(tmp_path)
    assert dataset.titles == titles
    assert dataset.user_ids == users[:11]
    assert [ids[item] for item in dataset.interactions.item[:28]] == ids[::11]


def test_a_record_larger_than_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iisan.data.importers.delimited_table.BLOCK_BYTES", 256)
    write_table(tmp_path / "items.csv", {"item_id": ["a"], "title": ["long " * 200]})
    write_table(tmp_path / "interactions.csv", {"user_id": ["u"], "item_id": ["a"], "timestamp": [0]})
    with pytest.raises(UserError, match=r"items\.csv: the table cannot be read"):
        run(tmp_path)


def test_tsv_has_no_quoting(tmp_path: Path) -> None:
    (tmp_path / "items.tsv").write_text('item_id\ttitle\n1\t"Oh, God!" (1977)\n2\t"\n3\tit\'s "\n')
    (tmp_path / "log.tsv").write_text("user_id\titem_id\ttimestamp\n1\t1\t1\n")
    dataset = run(tmp_path, items=tmp_path / "items.tsv", interactions=tmp_path / "log.tsv")
    assert dataset.texts("text") == ['"Oh, God!" (1977)', '"', "it's \""]


def test_numbers_as_ids_in_every_format(tmp_path: Path) -> None:
    write_table(tmp_path / "items.parquet", {"item_id": [10, 2, 33], "title": ["x", "y", "z"]})
    write_table(tmp_path / "log.jsonl", {"user_id": [7, 7], "item_id": [33, 2], "timestamp": [1.5, 0.5]})
    dataset = run(tmp_path, items=tmp_path / "items.parquet", interactions=tmp_path / "log.jsonl")
    assert dataset.item_ids == ["10", "2", "33"]
    assert dataset.user_ids == ["7"]
    assert dataset.interactions.item.tolist() == [1, 2]
    assert dataset.interactions.timestamp is not None
    assert dataset.interactions.timestamp.tolist() == [0.5, 1.5]


def test_original_movielens_layout(tmp_path: Path) -> None:
    """Bars, no header, latin-1 for the items; tabs and no header for the log."""
    (tmp_path / "u.item").write_bytes('1|Am\u00e9lie (2001)|x\n2|"Q" (1990)|y\n'.encode("latin-1"))
    (tmp_path / "u.data").write_bytes(b"196\t2\t3\t881250949\n196\t1\t3\t881250948\n")
    dataset = run(
        tmp_path,
        items=tmp_path / "u.item",
        interactions=tmp_path / "u.data",
        items_format="tsv",
        interactions_format="tsv",
        items_delimiter="|",
        encoding="latin-1",
        items_header=("item_id", "title", "tag"),
        interactions_header=("user_id", "item_id", "rating", "timestamp"),
    )
    assert dataset.titles == ["Amélie (2001)", '"Q" (1990)']
    assert dataset.interactions.item.tolist() == [0, 1]


def test_dates_become_seconds(shop: Path) -> None:
    (shop / "interactions.csv").write_text(
        "user_id,item_id,timestamp\nu,a,2014-03-02\nu,b,2014-03-01 12:00:00\nu,c,1970-01-01T00:01:00\n"
    )
    log = run(shop).interactions
    assert log.timestamp is not None
    assert log.timestamp.dtype == np.int64
    assert log.timestamp.tolist() == [60, 1393675200, 1393718400]
    assert log.item.tolist() == [2, 1, 0]


def test_lists_and_missing_keys_of_json(tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_text(
        '{"item_id": "a", "title": "Mug", "tags": ["x", "y"]}\n\n{"item_id": "b", "tags": []}\n'
    )
    (tmp_path / "log.jsonl").write_text('{"user_id": 1, "item_id": "b", "timestamp": 1}\n')
    dataset = run(tmp_path, items=tmp_path / "items.jsonl", interactions=tmp_path / "log.jsonl", text="{title}: {tags}")
    assert dataset.texts("text") == ["Mug: x, y", None]


def test_without_timestamps_the_row_order_is_the_time(shop: Path) -> None:
    (shop / "interactions.csv").write_text("item_id,user_id\nd,u\na,v\na,u\nb,v\n")
    dataset = run(shop, timestamp_column="")
    assert dataset.interactions.timestamp is None
    assert dataset.interactions.item.tolist() == [3, 0, 0, 1]
    assert dataset.interactions.user.tolist() == [0, 0, 1, 1]


def test_further_modalities_and_other_column_names(shop: Path) -> None:
    (shop / "interactions.csv").write_text("who,what,when\nu,a,1\n")
    dataset = run(
        shop,
        user_id_column="who",
        interaction_item_column="what",
        timestamp_column="when",
        extra_texts=("tag=genre", "both={title}/{genre}"),
        extra_images=("cover=image",),
    )
    assert dataset.modalities == {"text": "text", "tag": "text", "both": "text", "cover": "image"}
    assert dataset.texts("tag") == ["kitchen", None, "office", "garden"]
    assert dataset.texts("both")[3] == "garden"
    assert dataset.image_paths("cover")[0] is not None


def test_ratings_and_unknown_items_are_dropped_and_counted(shop: Path) -> None:
    with (shop / "interactions.csv").open("a") as stream:
        stream.write("x,ghost,9,5\nx,ghost,9,1\n")
    dataset = run(shop, rating_column="stars", min_rating=3, unknown_items="drop")
    assert dataset.manifest.source.dropped == {"below_min_rating": 3, "unknown_item": 1}
    assert dataset.user_ids == ["z", "y"]
    assert len(dataset.interactions) == dataset.manifest.counts.interactions == 4


ITEMS = "item_id,title\na,Mug\nb,Lamp\n"
LOG = "user_id,item_id,timestamp\nu,a,1\n"


@pytest.mark.parametrize(
    ("items", "log", "options", "words"),
    [
        ("", LOG, {}, ["items.csv", "empty"]),
        ("item_id,title\n", LOG, {}, ["items.csv", "no rows"]),
        (ITEMS, "", {}, ["interactions.csv", "empty"]),
        (ITEMS, "user_id,item_id,timestamp\n", {}, ["interactions.csv", "no rows"]),
        ("id,title\na,Mug\n", LOG, {}, ["items.csv", "'item_id'", "id, title"]),
        (ITEMS, LOG, {"text": "{title} {nope}"}, ["'nope'", "item_id, title"]),
        (ITEMS, LOG, {"text": ""}, ["neither text nor pictures"]),
        (ITEMS, LOG, {"timestamp_column": "when"}, ["'when'", "user_id, item_id, timestamp"]),
        (ITEMS, LOG, {"attributes": ("title",)}, ["'title'"]),
        (ITEMS, LOG, {"extra_texts": ("text=title",)}, ["'text'"]),
        (ITEMS, LOG, {"extra_texts": ("title",)}, ["NAME=VALUE"]),
        (ITEMS, LOG, {"min_rating": 3.0}, ["rating_column"]),
        (ITEMS, LOG, {"encoding": "klingon"}, ["klingon"]),
        (ITEMS, LOG, {"items_delimiter": "::"}, ["'::'", "one plain character"]),
        ("item_id,title\na,Mug\n\nb,Lamp,x\n", LOG, {}, ["items.csv, line 4", "3 fields instead of 2"]),
        ("item_id,title\na,Mug\nb\n", LOG, {}, ["items.csv, line 3", "1 fields instead of 2"]),
        ("item_id,title,title\na,Mug,x\n", LOG, {}, ["title", "twice"]),
        ('item_id,title\na,"Mug\nb,Lamp\n', LOG, {}, ["items.csv", "malformed CSV"]),
        ('item_id,title\na,"two\nlines"\na,x\n', LOG, {}, ["items.csv, line 4", "'a' is there already"]),
        ("item_id,title\na,Mug\n ,Lamp\n", LOG, {}, ["items.csv, line 3", "item id is blank"]),
        (ITEMS, LOG + ",a,2\n", {}, ["interactions.csv, line 3", "user id is blank"]),
        (ITEMS, LOG + "u,a,soon\n", {}, ["interactions.csv, line 3", "'soon'"]),
        (ITEMS, LOG + "\n\nu,a,\n", {}, ["interactions.csv, line 5", "''"]),
        (ITEMS, LOG + "u,a,nan\n", {}, ["interactions.csv, line 3", "not finite"]),
        (ITEMS, LOG + "u,a,x\n", {"rating_column": "timestamp", "timestamp_column": ""}, ["line 3", "rating 'x'"]),
        (ITEMS, LOG + "u,y,1\nv,y,1\nu,z,3\n", {}, ["3 interactions", "2 items", "'y', 'z'", "unknown_items=drop"]),
        (ITEMS, "user_id,item_id,timestamp\nu,q,1\n", {"unknown_items": "drop"}, ["no interaction is left"]),
    ],
)
def test_bad_tables(tmp_path: Path, items: str, log: str, options: dict[str, object], words: list[str]) -> None:
    (tmp_path / "items.csv").write_text(items)
    (tmp_path / "interactions.csv").write_text(log)
    with pytest.raises(UserError) as caught:
        run(tmp_path, **options)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message
    assert not (tmp_path / "out").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["interactions.csv", "items.csv"]


def test_text_of_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_bytes("item_id,title\na,Mug\nb,Möbel\n".encode("latin-1"))
    (tmp_path / "interactions.csv").write_text(LOG)
    with pytest.raises(UserError, match=r"items\.csv, line 3: the text is not utf-8"):
        run(tmp_path)
    assert run(tmp_path, encoding="latin-1").titles == ["Mug", "Möbel"]


def test_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_bytes(b"\xef\xbb\xbf" + ITEMS.encode())
    (tmp_path / "interactions.csv").write_text(LOG)
    assert run(tmp_path).item_ids == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("items.jsonl", b'{"item_id": "a", "title": "x"}\n{"item_id": \n', ["line 2", "malformed JSON"]),
        ("items.jsonl", b'{"item_id": "a", "title": "x"}\n[1]\n', ["line 2", "not a JSON object"]),
        ("items.jsonl", b'{"item_id": "a", "title": {"x": 1}}\n', ["line 1", "object"]),
        ("items.jsonl", b'{"item_id": "a", "title": "\\ud800"}\n', ["line 1", "surrogate"]),
        ("items.jsonl", b'{"item_id": "a", "title": "\xff"}\n', ["line 1", "not UTF-8"]),
        ("items.jsonl", b'{"item_id": "a", "title": "x"}\n{"title": "y"}\n', ["line 2", "item id is missing"]),
        ("items.jsonl", b"", ["empty"]),
        ("items.jsonl", b"[" * 100_000 + b"\n", ["line 1", "malformed JSON"]),
        ("items.parquet", b"PAR1 and no more", ["no readable Parquet"]),
        ("items.csv.gz", b"no gzip", ["items.csv.gz", "cannot be read"]),
        ("items.csv.gz", gzip.compress(ITEMS.encode() * 1000)[:60], ["items.csv.gz", "cannot be read"]),
        ("items.jsonl.gz", b"no gzip", ["items.jsonl.gz", "cannot be read"]),
        ("items.xlsx", b"", ["unknown suffix '.xlsx'"]),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: bytes, words: list[str]) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / "interactions.csv").write_text(LOG)
    with pytest.raises(UserError) as caught:
        run(tmp_path, items=tmp_path / name)
    assert all(word in str(caught.value) for word in [name, *words]), str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"items\.csv: the file does not exist"):
        run(tmp_path)


def test_fractional_ids_are_refused(tmp_path: Path) -> None:
    """As pandas writes integer ids beside missing ones: 1.0 would never match the id 1 of the other table."""
    write_table(tmp_path / "items.parquet", {"item_id": [1.0, 2.0], "title": ["x", "y"]})
    (tmp_path / "interactions.csv").write_text("user_id,item_id,timestamp\nu,1,1\n")
    with pytest.raises(UserError, match="neither text nor integers"):
        run(tmp_path, items=tmp_path / "items.parquet")


def test_the_same_import_gives_the_same_bytes(shop: Path, snapshot: object) -> None:
    assert callable(snapshot)
    run(shop, "one", image_column="image", name="x")
    run(shop, "two", image_column="image", name="x")
    assert snapshot(shop / "one") == snapshot(shop / "two")
