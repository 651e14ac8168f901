"""Killed fifty times while it adds, replaces and takes back: what it answered is there, and nothing is half there."""

from __future__ import annotations

import hashlib
import logging
import os
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from iisan.jobs.train import TrainOutcome
from iisan.models.additions import Additions
from iisan.models.item_table import ItemTable
from iisan.models.picture_store import PictureStore
from tests.conftest import TinyModels
from tests.serving.adder_children import AdderChildren, picture

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open") or sys.platform != "linux", reason="needs Linux")

KILLS = 50
# A kill that falls in between two requests proves little; so many must have cut one off after it had begun to write.
LEAST_TRACES = 3

logger = logging.getLogger(__name__)

COLOR_OF = {hashlib.sha256(picture(color)).hexdigest(): color for color in range(10 * (KILLS + 1))}

# Title, attributes and colour of an item; None of one that was taken back.
State = dict[str, tuple[str, dict[str, str], int] | None]


def add(item_id: str, title: str, color: int) -> dict[str, Any]:
    item = {"item_id": item_id, "title": title, "texts": {}, "attributes": {"of": title}, "on_existing": "replace"}
    return {"do": "add", "item": item, "pictures": ["image"], "colors": [color]}


def requests_of(turn: int) -> list[dict[str, Any]]:
    """More than a child gets done before it is killed."""
    one, other = f"{turn} one", f"{turn} other"
    return [
        add(one, f"lamp {turn}", 10 * turn),
        add(other, f"chair {turn}", 10 * turn + 1),
        add(one, f"red lamp {turn}", 10 * turn + 2),
        {"do": "remove", "item_id": other},
        add(other, f"chair again {turn}", 10 * turn + 3),
        *(add(f"{turn} more {k}", f"book {k}", 10 * turn + k % 7) for k in range(30)),
    ]


def after(state: State, request: dict[str, Any]) -> State:
    if request["do"] == "remove":
        return {**state, request["item_id"]: None}
    item = request["item"]
    return {**state, item["item_id"]: (item["title"], item["attributes"], request["colors"][0])}


def found(table: ItemTable, store: PictureStore, ids: set[str]) -> State:
    """What a reader of the folder sees of some items; every picture that an entry names must be whole."""
    state: State = {}
    for item_id in ids:
        row = table.row(item_id)
        if row is None:
            continue
        if bool(table.removed[row]):
            state[item_id] = None
            continue
        assert bool(table.recommendable[row])
        assert bool(table.embeddings[row].abs().sum() > 0)
        facts = table.facts[row]
        path = store.find(facts.picture)
        assert path is not None
        with Image.open(path) as image:
            image.load()
        state[item_id] = (str(table.titles[row]), dict(facts.attributes), COLOR_OF[str(facts.picture)])
    return state


def loaded(model: Path) -> ItemTable:
    table = ItemTable.load(model)
    assert table is not None
    return table


def names(model: Path) -> set[str]:
    return {str(path.relative_to(model)) for path in model.rglob("*")}


def test_fifty_kills(trained: TrainOutcome, tiny_models: TinyModels, tmp_path: Path) -> None:
    model = shutil.copytree(trained.folder, tmp_path / "model")
    encoders = (f"text={tiny_models.text}", f"image={tiny_models.image}")
    chosen = random.Random("fifty kills")
    expected: State = {}
    traces = answered_in_all = 0
    store = PictureStore(model)
    with AdderChildren(model, encoders) as children:
        table = loaded(model)
        for turn in range(1, KILLS + 1):
            requests = requests_of(turn)
            answered = children.killed(requests, chosen.uniform(0, 8 * children.seconds))
            assert answered < len(requests)
            for request in requests[:answered]:
                expected = after(expected, request)
            in_flight = after(expected, requests[answered])
            table = table.with_additions(Additions(model).read(table.last_addition, table.embeddings.shape[1]))
            named = {f"pictures/{facts.picture}.jpg" for facts in table.facts.values() if facts.picture}
            now = found(table, store, set(in_flight))
            assert now in (expected, in_flight)
            traces += now != expected or bool(leftovers(model, named))
            answered_in_all += answered
            expected = now
    assert found(loaded(model), store, set(expected)) == expected
    logger.info("%.3f s an item, %d answered, %d kills left traces", children.seconds, answered_in_all, traces)
    assert traces >= LEAST_TRACES
    assert answered_in_all >= KILLS


def leftovers(model: Path, named: set[str]) -> set[str]:
    """Files that a kill left of what it cut off."""
    return {name for name in names(model) if name.endswith(".tmp") or (name.endswith(".jpg") and name not in named)}
