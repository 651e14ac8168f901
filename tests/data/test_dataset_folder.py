from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from iisan.data import Dataset, DatasetContents, DelimitedImport, Interactions, import_delimited, write_dataset
from iisan.errors import UserError


@pytest.fixture
def dataset(shop: Path) -> Dataset:
    config = DelimitedImport(items=shop / "items.csv", interactions=shop / "interactions.csv", image_column="image")
    return import_delimited(config, shop / "out")


def edit_manifest(dataset: Dataset, change: Callable[[dict[str, Any]], object]) -> None:
    path = dataset.path / "dataset.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_opening_again_gives_the_same(dataset: Dataset) -> None:
    again = Dataset.open(str(dataset.path))
    assert again.manifest == dataset.manifest
    assert again.item_ids == dataset.item_ids
    assert np.array_equal(again.interactions.item, dataset.interactions.item)
    assert (again.n_items, again.n_users) == (len(again.item_ids), len(again.user_ids))


def test_a_newer_version_is_refused(dataset: Dataset) -> None:
    edit_manifest(dataset, lambda content: content.update(version=2, news="?"))
    with pytest.raises(UserError, match=r"version 2 is newer.*update iisan"):
        Dataset.open(dataset.path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content.pop("counts"), "damaged: counts"),
        (lambda content: content["counts"].update(items=-1), "damaged: counts.items"),
        (lambda content: content["modalities"].update(text="smell"), "damaged: modalities.text"),
        (lambda content: content.update(format="other"), "not a manifest"),
    ],
)
def test_a_damaged_manifest_is_refused(dataset: Dataset, change: Callable[[Any], object], words: str) -> None:
    edit_manifest(dataset, change)
    with pytest.raises(UserError, match=words):
        Dataset.open(dataset.path)


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000, "null", '"\\ud800"'])
def test_a_manifest_that_is_none_is_refused(dataset: Dataset, content: str) -> None:
    (dataset.path / "dataset.json").write_text(content)
    with pytest.raises(UserError, match=r"dataset\.json"):
        Dataset.open(dataset.path)


def test_what_is_no_dataset_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a dataset folder"):
        Dataset.open(tmp_path / "nowhere")
    (dataset.path / "users.parquet").unlink()
    with pytest.raises(UserError, match=r"lacks users\.parquet"):
        Dataset.open(dataset.path)


@pytest.mark.parametrize(
    "name", ["items.parquet", "users.parquet", "interactions.parquet", "media.parquet", "media/pictures/1.png"]
)
def test_verify_finds_a_flipped_bit(dataset: Dataset, name: str) -> None:
    path = dataset.path / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match=path.name):
        Dataset.open(dataset.path).verify()


def test_verify_finds_a_missing_picture(dataset: Dataset) -> None:
    (dataset.path / "media" / "pictures" / "1.png").unlink()
    with pytest.raises(UserError, match=r"1\.png"):
        dataset.verify()
    with pytest.raises(UserError, match=r"1\.png"):
        dataset.image_paths("image")


def test_a_picture_swapped_for_a_link_out_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    Image.new("RGB", (3, 3)).save(tmp_path / "secret.png")
    path = dataset.path / "media" / "pictures" / "1.png"
    path.unlink()
    path.symlink_to(tmp_path / "secret.png")
    with pytest.raises(UserError, match="leads out"):
        dataset.image_paths("image")


def replace_column(path: Path, name: str, values: pa.Array) -> None:
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index(name), name, values), path)


@pytest.mark.parametrize("reference", ["../items.csv", "/etc/hostname", "items.parquet"])
def test_hostile_paths_in_the_table_are_refused(dataset: Dataset, reference: str) -> None:
    replace_column(dataset.path / "items.parquet", "image", pa.array([reference, None, None, None], pa.string()))
    with pytest.raises(UserError, match=reference):
        Dataset.open(dataset.path).image_paths("image")


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("item", pa.array([0, 1, 2, 3, 4, 0], pa.int32()), "catalogue lacks"),
        ("item", pa.array([0, 1, 2, 3, -1, 0], pa.int32()), "do not exist"),
        ("user", pa.array([0, 0, 0, 1, 1, 3], pa.int32()), "do not exist"),
        ("user", pa.array([0, 1, 0, 1, 1, 2], pa.int32()), "not sorted by user"),
        ("timestamp", pa.array([9, 8, 7, 6, 5, 4], pa.int64()), "not sorted by time"),
        ("item", pa.array(["x"] * 6), "does not match the manifest"),
        ("item", pa.array([0, 1, 2, 3, None, 0], pa.int32()), "does not match the manifest"),
    ],
)
def test_a_log_that_breaks_its_promise_is_refused(dataset: Dataset, name: str, values: pa.Array, words: str) -> None:
    replace_column(dataset.path / "interactions.parquet", name, values)
    with pytest.raises(UserError, match=words):
        _ = Dataset.open(dataset.path).interactions


def test_asking_for_what_is_not_there(dataset: Dataset) -> None:
    with pytest.raises(UserError, match=r"no text modality 'image'.*text \(text\), image \(image\)"):
        dataset.texts("image")
    with pytest.raises(UserError, match="no image modality 'video'"):
        dataset.image_paths("video")
    with pytest.raises(UserError, match="no attribute 'genre'"):
        dataset.attribute("genre")


def contents(**changes: Any) -> DatasetContents:
    log = Interactions(np.array([0, 0, 1]), np.array([1, 0, 1]), None, None, n_users=2, n_items=2)
    parts = {
        "name": "memory",
        "item_ids": ["a", "b"],
        "titles": ["A", None],
        "texts": {"text": ["one", " "]},
        "images": {},
        "user_ids": ["u", "v"],
        "interactions": log,
    }
    return DatasetContents(**{**parts, **changes})


def test_a_dataset_from_memory(tmp_path: Path) -> None:
    dataset = write_dataset(contents(), tmp_path / "out")
    assert dataset.texts("text") == ["one", None]
    assert dataset.interactions.item.tolist() == [1, 0, 1]
    assert dataset.manifest.source.importer == "library"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"item_ids": ["a", "a"]}, "item ids occur twice"),
        ({"item_ids": ["a", " "]}, "blank item id"),
        ({"user_ids": ["u", "u"]}, "user ids occur twice"),
        ({"user_ids": ["u"]}, "another number of items or users"),
        ({"titles": ["A"]}, "'title' has 1 values for 2 items"),
        ({"texts": {"title": ["x", "y"]}}, "named 'title'"),
        ({"texts": {"t": ["x", "y"]}, "attributes": {"t": ["x", "y"]}}, "named 't'"),
        ({"images": {"image": ["1.png", None]}}, "media_root"),
    ],
)
def test_contents_that_do_not_fit_together(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        write_dataset(contents(**changes), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../../outside", "a.b", "a b", "items", "inter"])
def test_a_modality_whose_name_could_lead_elsewhere_is_refused(dataset: Dataset, name: str) -> None:
    """Its name becomes a folder under ``states/`` and a part of weights' names."""
    edit_manifest(dataset, lambda manifest: manifest["modalities"].update({name: "text"}))
    with pytest.raises(UserError, match="modality cannot be named"):
        Dataset.open(dataset.path)
    log = Interactions(np.zeros(1, np.int64), np.zeros(1, np.int64), None, None, n_users=1, n_items=1)
    made = DatasetContents("named", ["a"], ["A"], {name: ["word"]}, {}, ["u"], log)
    with pytest.raises(UserError, match="modality cannot be named"):
        made.check()
