"""One catalogue and one log, written in every layout that is read, come back the same."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iisan.data import (
    Amazon2023Import,
    Dataset,
    DelimitedImport,
    IisanImport,
    MicroLensImport,
    MovieLensImport,
    RecBoleImport,
    import_amazon_2023,
    import_delimited,
    import_iisan,
    import_microlens,
    import_movielens,
    import_recbole,
)

Item = tuple[str, str]  # id, title
Row = tuple[str, str, float, int]  # user, item, rating, time
Write = Callable[[Path, list[Item], list[Row]], Dataset]

TIMED = ("user_id", "item_id", "rating", "timestamp")


def table(path: Path, rows: Sequence[Sequence[Any]], separator: str, encoding: str = "utf-8") -> None:
    path.write_bytes("".join(separator.join(map(str, row)) + "\n" for row in rows).encode(encoding))


def quoted(path: Path, rows: Sequence[Sequence[Any]], quoting: int = csv.QUOTE_MINIMAL) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, quoting=quoting, lineterminator="\n").writerows(rows)  # type: ignore[call-overload]


def json_lines(path: Path, records: list[dict[str, Any]], *, ascii_only: bool) -> None:
    path.write_text("".join(json.dumps(one, ensure_ascii=ascii_only) + "\n" for one in records), encoding="utf-8")


def delimited(folder: Path, items: list[Item], log: list[Row]) -> Dataset:
    quoted(folder / "items.csv", [("item_id", "title"), *items])
    table(folder / "log.tsv", [TIMED, *log], "\t")
    config = DelimitedImport(
        items=folder / "items.csv", interactions=folder / "log.tsv", rating_column="rating", unknown_items="drop"
    )
    return import_delimited(config, folder / "out")


def atomic(folder: Path, items: list[Item], log: list[Row]) -> Dataset:
    table(folder / "x.item", [("item_id:token", "title:token_seq"), *items], "\t")
    head = ("user_id:token", "item_id:token", "rating:float", "timestamp:float")
    half = (len(log) + 1) // 2
    for number, part in enumerate((log[:half], log[half:]), start=1):
        if part:
            table(folder / f"x.part{number}.inter", [head, *part], "\t")
    return import_recbole(RecBoleImport(folder=folder), folder / "out")


def movielens_100k(folder: Path, items: list[Item], log: list[Row]) -> Dataset:
    table(folder / "u.genre", [("unknown", 0), ("Action", 1)], "|")
    table(folder / "u.item", [(one, title, "", "", "", 1, 0) for one, title in items], "|", "latin-1")
    table(folder / "u.data", log, "\t")
    return import_movielens(MovieLensImport(folder=folder), folder / "out")


def movielens_1m(folder: Path, items: list[Item], log: list[Row]) -> Dataset:
    table(folder / "movies.dat", [(one, title, "") for one, title in items], "::", "latin-1")
    table(folder / "ratings.dat", log, "::")
    return import_movielens(MovieLensImport(folder=folder), folder / "out")


def movielens_20m(folder: Path, items: list[Item], log: list[Row]) -> Dataset:
    rows = [(one, title, "(no genres listed)") for one, title in items]
    quoted(folder / "movies.csv", [("movieId", "title", "genres"), *rows])
    table(folder / "ratings.csv", [("userId", "movieId", "rating", "timestamp"), *log], ",")
    return import_movielens(MovieLensImport(folder=folder), folder / "out")


def amazon_items(folder: Path, items: list[Item]) -> Path:
    path = folder / "meta_X.jsonl"
    records = [
        {"details": {"n": [n, str(n)][n % 2]}, "parent_asin": one, "title": t} for n, (one, t) in enumerate(items)
    ]
    json_lines(path, records, ascii_only=len(items) % 2 == 0)
    return path


def amazon_reviews(folder: Path, items: list[Item], log: list[Row]) -> Dataset:
    names = ("user_id", "parent_asin", "rating", "timestamp")
    json_lines(folder / "X.jsonl", [dict(zip(names, row, strict=True)) for row in log], ascii_only=len(log) % 2 == 0)
    config = Amazon2023Import(meta=amazon_items(folder, items), reviews=(folder / "X.jsonl",))
    return import_amazon_2023(config, folder / "out")


def amazon_pure_ids(folder: Path, items: list[Item], log: list[Row]) -> Dataset:
    quoted(folder / "X.csv", [("user_id", "parent_asin", "rating", "timestamp"), *log])
    config = Amazon2023Import(meta=amazon_items(folder, items), reviews=(folder / "X.csv",))
    return import_amazon_2023(config, folder / "out")


def microlens_50k(folder: Path, items: list[Item], log: list[Row]) -> Dataset:
    quoted(folder / "M_titles.csv", [("item", "title"), *items])
    table(folder / "M_pairs.csv", [("user", "item", "timestamp"), *((u, i, t) for u, i, _, t in log)], ",")
    return import_microlens(MicroLensImport(folder=folder), folder / "out")


def histories(path: Path, log: list[Row]) -> None:
    users = dict.fromkeys(row[0] for row in log)
    table(path, [(user, " ".join(row[1] for row in log if row[0] == user)) for user in users], "\t")


def microlens_histories(folder: Path, items: list[Item], log: list[Row]) -> Dataset:
    quoted(folder / "M_title.csv", items, csv.QUOTE_ALL)
    content = (folder / "M_title.csv").read_text(encoding="utf-8")
    unquoted_ids = "".join(line.replace('"', "", 2) + "\n" for line in content.splitlines())
    (folder / "M_title.csv").write_text(unquoted_ids, encoding="utf-8")
    histories(folder / "M_pairs.tsv", log)
    return import_microlens(MicroLensImport(folder=folder), folder / "out")


def iisan(folder: Path, items: list[Item], log: list[Row]) -> Dataset:
    table(folder / "items.tsv", items, "\t")
    histories(folder / "users.tsv", log)
    return import_iisan(IisanImport(items=folder / "items.tsv", users=folder / "users.tsv"), folder / "out")


# What each layout keeps besides users and items.
LAYOUTS: list[tuple[Write, bool, bool]] = [
    (delimited, True, True),
    (atomic, True, True),
    (movielens_100k, True, True),
    (movielens_1m, True, True),
    (movielens_20m, True, True),
    (amazon_reviews, True, True),
    (amazon_pure_ids, True, True),
    (microlens_50k, True, False),
    (microlens_histories, False, False),
    (iisan, False, False),
]
ID = st.text("ab019éß'-_", min_size=1, max_size=4)
# No bar, colon, tab, line break or ampersand, which stand for something in one of the layouts; nor outer spaces.
TITLE = st.text("aZ0é, \"'()[]#;\\", max_size=10).map(str.strip)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Item], list[Row]]:
    ids = draw(st.lists(ID, min_size=1, max_size=5, unique=True))
    users = draw(st.lists(ID, min_size=1, max_size=4, unique=True))
    titles = draw(st.lists(TITLE, min_size=len(ids), max_size=len(ids)))
    # Few different times, so that most are equal.
    row = st.tuples(
        st.sampled_from(users), st.sampled_from(ids), st.sampled_from([0.5, 1.0, 4.5]), st.integers(1_000, 1_003)
    )
    return list(zip(ids, titles, strict=True)), draw(st.lists(row, min_size=1, max_size=12))


def slow_order(log: list[Row], *, timed: bool) -> list[Row]:
    ordered: list[Row] = []
    for user in dict.fromkeys(row[0] for row in log):
        own = [row for row in log if row[0] == user]
        for time in sorted({row[3] for row in own}) if timed else [None]:
            ordered += [row for row in own if time is None or row[3] == time]
    return ordered


@pytest.mark.parametrize(("write", "timed", "rated"), LAYOUTS, ids=[layout[0].__name__ for layout in LAYOUTS])
@settings(max_examples=25, deadline=None)
@given(world=worlds())
def test_every_layout_gives_the_same_dataset(
    write: Write, timed: bool, rated: bool, world: tuple[list[Item], list[Row]]
) -> None:
    items, log = world
    with tempfile.TemporaryDirectory() as name:
        dataset = write(Path(name), items, log)
        expected = slow_order(log, timed=timed)
        got = dataset.interactions
        assert dataset.item_ids == [one for one, _ in items]
        assert dataset.titles == dataset.texts("text") == [title or None for _, title in items]
        assert dataset.user_ids == list(dict.fromkeys(row[0] for row in log))
        assert [dataset.user_ids[user] for user in got.user] == [row[0] for row in expected]
        assert [dataset.item_ids[item] for item in got.item] == [row[1] for row in expected]
        if timed:
            assert got.timestamp is not None
            assert got.timestamp.tolist() == [row[3] for row in expected]
        if rated:
            assert got.rating is not None
            assert got.rating.tolist() == [row[2] for row in expected]
        assert (got.timestamp is not None, got.rating is not None) == (timed, rated)
        dataset.verify()
