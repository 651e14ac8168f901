"""Item ids are read from every form, or the row at fault is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from iisan.errors import UserError
from iisan.states import (
    ids_of_states,
    open_states,
    read_item_ids,
)
from tests.states.pickle_bomb import objects

IDS = ["b", "7", "é x", "a,b"]


def parquet(path: Path, column: Any, name: str = "item_id") -> None:
    pq.write_table(pa.table({name: column, "rank": list(range(len(column)))}), path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("i.txt", lambda path: path.write_text("\n".join(IDS), encoding="utf-8")),
        ("i.txt", lambda path: path.write_bytes("﻿b\r\n7\r\né x\r\na,b\r\n".encode())),
        ("i.json", lambda path: path.write_text(json.dumps(["b", 7, "é x", "a,b"]), encoding="utf-8")),
        ("i.npy", lambda path: np.save(path, np.array(IDS))),
        ("i.npy", lambda path: np.save(path, np.char.encode(np.array(IDS), "utf-8"))),
        ("i.parquet", lambda path: parquet(path, IDS)),
        ("i.csv", lambda path: path.write_text('item_id,rank\nb,1\n7,2\né x,3\n"a,b",4\n', encoding="utf-8")),
        ("i.tsv", lambda path: path.write_text("key\nb\n7\né x\na,b\n", encoding="utf-8")),
    ],
)
def test_ids_in_every_form(name: str, write: Callable[[Path], None], tmp_path: Path) -> None:
    write(tmp_path / name)
    assert read_item_ids(tmp_path / name) == IDS


def test_integers_are_ids_too(tmp_path: Path) -> None:
    np.save(tmp_path / "i.npy", np.array([3, -1], np.int16))
    parquet(tmp_path / "i.parquet", [3, -1], "movie")
    assert read_item_ids(tmp_path / "i.npy") == ["3", "-1"]
    assert read_item_ids(tmp_path / "i.parquet", "movie") == ["3", "-1"]


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("i.txt", None, "cannot be read"),
        ("i.txt", lambda path: path.write_bytes(b"\xff\xfe\x00"), "cannot be read"),
        ("i.txt", lambda path: path.write_text("a\n\nb\n"), r"i\.txt, row 2: the item id is blank"),
        ("i.json", lambda path: path.write_text("{"), "no readable JSON"),
        ("i.json", lambda path: path.write_text("[" * 100_000), "no readable JSON"),
        ("i.json", lambda path: path.write_text('{"a": 1}'), "no list"),
        ("i.json", lambda path: path.write_text('["a", 1.5]'), "row 2: an id is neither text nor integer"),
        ("i.json", lambda path: path.write_text("[true]"), "row 1: an id is neither text nor integer"),
        ("i.npy", objects, "no readable .npy"),
        ("i.npy", lambda path: np.save(path, np.zeros(3)), "the ids are float64"),
        ("i.npy", lambda path: np.save(path, np.zeros((3, 1), int)), r"of shape \[3, 1\]"),
        ("i.npy", lambda path: np.save(path, np.array([b"\xff"])), "not UTF-8"),
        ("i.parquet", lambda path: path.write_bytes(b"PAR1"), "no readable Parquet"),
        ("i.parquet", lambda path: parquet(path, ["a"], "movie"), "no column 'item_id'; name one of: movie, rank"),
        ("i.parquet", lambda path: parquet(path, [0.5]), "neither text nor integers"),
        ("i.csv", lambda path: path.write_text("item_id\na\n\n \n"), "blank"),
        ("i.pkl", lambda path: path.write_bytes(b""), "not '.pkl'"),
    ],
)
def test_bad_ids(name: str, write: Callable[[Path], None] | None, message: str, tmp_path: Path) -> None:
    if write is not None:
        write(tmp_path / name)
    with pytest.raises(UserError, match=message):
        read_item_ids(tmp_path / name)


def test_ids_beside_the_states_or_named(tmp_path: Path) -> None:
    for number, name in enumerate("xy"):
        np.save(tmp_path / f"{name}.npy", np.zeros((2, 3), np.float32))
        (tmp_path / f"{name}.txt").write_text(f"a{number}\nb{number}\n")
    states = open_states([tmp_path])
    both = ["a0", "b0", "a1", "b1"]
    assert ids_of_states(states) == both
    assert ids_of_states(states, [tmp_path / "y.txt", tmp_path / "x.txt"]) == ["a1", "b1", "a0", "b0"]
    (tmp_path / "all.json").write_text(json.dumps(both))
    assert ids_of_states(states, [tmp_path / "all.json"]) == both
    with pytest.raises(UserError, match=r"x\.txt: 2 ids for 4 rows of 2 files of states"):
        ids_of_states(states, [tmp_path / "x.txt"])
    with pytest.raises(UserError, match="3 files of ids for 2 of states"):
        ids_of_states(states, [tmp_path / "x.txt"] * 3)
    (tmp_path / "y.txt").write_text("a\n")
    with pytest.raises(UserError, match=r"y\.txt: 1 ids for 2 rows of .*y\.npy"):
        ids_of_states(states)
    (tmp_path / "y.json").write_text("[]")
    with pytest.raises(UserError, match=r"y\.npy: y\.txt and y\.json are beside it"):
        ids_of_states(states)
    (tmp_path / "x.txt").unlink()
    with pytest.raises(UserError, match="no file of item ids is beside it"):
        ids_of_states(states)


def test_an_array_of_ids_beside_the_states_is_no_file_of_states(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 3), np.float32))
    np.save(tmp_path / "x.ids.npy", np.array(["a", "b"]))
    states = open_states([tmp_path])
    assert (len(states), ids_of_states(states)) == (2, ["a", "b"])
