"""Hugging Face datasets: saved folders, folders of files, and a hub on this machine."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from iisan.data import Dataset, HuggingFaceImport, import_huggingface
from iisan.data.importers import huggingface_commit
from iisan.errors import UserError
from tests.cli.conftest import Cli
from tests.cli.conftest import cli as cli
from tests.data.picture_files import picture
from tests.data.small_hub import COMMIT, SmallHub, serving

datasets = pytest.importorskip("datasets")

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
ITEM_IDS = ["a", "b", "c"]
USERS, ITEMS, TIMES = ["u", "v", "u", "u"], ["a", "a", "c", "b"], [5, 1, 7, 6]


@pytest.fixture(autouse=True)
def caches(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Caches of this test alone, and no hub."""
    from huggingface_hub import HfFileSystem, constants

    folder = tmp_path_factory.mktemp("caches")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "datasets")
    monkeypatch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", folder / "datasets" / "downloads")
    set_endpoint(monkeypatch, "http://127.0.0.1:9")
    HfFileSystem.clear_instance_cache()
    return folder


def set_endpoint(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", url)
    monkeypatch.setattr(datasets.config, "HUB_DATASETS_URL", url + "/datasets/{repo_id}/resolve/{revision}/{path}")


def items() -> Any:
    """Items with a picture, with none, and with a picture, as `datasets` makes them."""
    pictures = [{"bytes": picture(1), "path": "x"}, None, {"bytes": picture(2, "JPEG"), "path": None}]
    features = {"item_id": datasets.Value("string"), "title": datasets.Value("string"), "image": datasets.Image()}
    values = {"item_id": ITEM_IDS, "title": ["A", "B", "C"], "image": pictures}
    return datasets.Dataset.from_dict(values, features=datasets.Features(features))


def log() -> Any:
    return datasets.Dataset.from_dict({"user_id": USERS, "item_id": ITEMS, "timestamp": TIMES})


def run(folder: Path, **options: object) -> Dataset:
    return import_huggingface(HuggingFaceImport.model_validate(options), folder / "out")


def check(dataset: Dataset) -> None:
    dataset.verify()
    assert dataset.item_ids == ITEM_IDS
    assert dataset.texts("text") == ["A", "B", "C"]
    contents = [None if path is None else path.read_bytes() for path in dataset.image_paths("image")]
    assert contents == [picture(1), None, picture(2, "JPEG")]
    assert dataset.user_ids == ["u", "v"]
    assert dataset.interactions.item.tolist() == [0, 1, 2, 0]
    assert dataset.manifest.source.importer == "huggingface"


def parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def test_datasets_saved_to_disk(tmp_path: Path) -> None:
    items().save_to_disk(tmp_path / "items")
    log().save_to_disk(tmp_path / "log")
    check(run(tmp_path, items=str(tmp_path / "items"), interactions=str(tmp_path / "log"), image_column="image"))


def test_the_command_line(tmp_path: Path, cli: Cli) -> None:
    items().save_to_disk(tmp_path / "items")
    log().save_to_disk(tmp_path / "log")
    parts = ("--items", tmp_path / "items", "--interactions", tmp_path / "log", "--image-column", "image")
    done = cli("import", "huggingface", tmp_path / "out", *parts)
    assert (done.code, done.err) == (0, "")
    assert "with image" in done.out
    check(Dataset.open(tmp_path / "out"))


def test_splits_of_a_saved_dict(tmp_path: Path) -> None:
    parts = {"items": items(), "train": log().select([0, 1]), "test": log().select([2, 3])}
    datasets.DatasetDict({name: part for name, part in parts.items() if name != "items"}).save_to_disk(tmp_path / "log")
    datasets.DatasetDict({"items": parts["items"]}).save_to_disk(tmp_path / "items")
    options = {"items": str(tmp_path / "items"), "interactions": str(tmp_path / "log"), "image_column": "image"}
    with pytest.raises(UserError, match="several splits: train, test; name one"):
        run(tmp_path, **options)
    with pytest.raises(UserError, match="no split 'valid'; there are: train, test"):
        run(tmp_path, interactions_split="train+valid", **options)
    check(run(tmp_path, interactions_split="all", **options))
    check(run(tmp_path, interactions_split="train+test", overwrite=True, **options))
    part = run(tmp_path, interactions_split="train", overwrite=True, **options)
    assert len(part.interactions) == 2


def test_rows_in_another_order_and_labels_by_name(tmp_path: Path) -> None:
    genre = datasets.ClassLabel(names=["tea", "tools"])
    shop = items().add_column("genre", [1, 0, -1]).cast_column("genre", genre)
    shop.select([2, 0]).save_to_disk(tmp_path / "items")
    log().save_to_disk(tmp_path / "log")
    options = {"image_column": "image", "text": "{title} ({genre})", "unknown_items": "drop"}
    dataset = run(tmp_path, items=str(tmp_path / "items"), interactions=str(tmp_path / "log"), **options)
    assert dataset.item_ids == ["c", "a"]
    assert dataset.texts("text") == ["C", "A (tools)"]
    assert [path.read_bytes() for path in dataset.image_paths("image") if path] == [picture(2, "JPEG"), picture(1)]


def test_a_folder_of_parquet_files_and_a_local_table(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    items().to_parquet(tmp_path / "data" / "train-00000-of-00001.parquet")
    pq.write_table(pa.table({"user_id": USERS, "item_id": ITEMS, "timestamp": TIMES}), tmp_path / "log.parquet")
    options = {"interactions": str(tmp_path / "log.parquet"), "image_column": "image"}
    check(run(tmp_path, items=str(tmp_path / "data"), **options))
    file = tmp_path / "data" / "train-00000-of-00001.parquet"
    check(run(tmp_path, items=str(file), overwrite=True, **options))


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for name, content in {"1.png": picture(1), "2.jpg": picture(2, "JPEG")}.items():
        (tmp_path / "pictures" / name).write_bytes(content)
    rows = [{"file_name": "1.png", "item_id": "a", "title": "A"}, {"file_name": "2.jpg", "item_id": "c", "title": "C"}]
    (tmp_path / "pictures" / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    log().save_to_disk(tmp_path / "log")
    options = {"items": str(tmp_path / "pictures"), "interactions": str(tmp_path / "log"), "image_column": "image"}
    dataset = run(tmp_path, unknown_items="drop", **options)
    assert dataset.item_ids == ["a", "c"]
    assert [path.read_bytes() for path in dataset.image_paths("image") if path] == [picture(1), picture(2, "JPEG")]


def test_histories_as_lists(tmp_path: Path) -> None:
    items().save_to_disk(tmp_path / "items")
    histories = [["c", "a", "c"], [], ["b"]]
    table = {"user": [7, 8, 9], "sequence": histories}
    datasets.Dataset.from_dict(table).save_to_disk(tmp_path / "log")
    options = {"items": str(tmp_path / "items"), "interactions": str(tmp_path / "log"), "user_id_column": "user"}
    dataset = run(tmp_path, history_column="sequence", **options)
    assert dataset.user_ids == ["7", "9"]
    assert dataset.interactions.item.tolist() == [2, 0, 2, 1]
    assert dataset.interactions.timestamp is None
    with pytest.raises(UserError, match="'user' holds int64, not lists of items"):
        run(tmp_path, history_column="user", overwrite=True, **options)
    with pytest.raises(UserError, match="leave timestamp_column"):
        run(tmp_path, history_column="sequence", timestamp_column="t", overwrite=True, **options)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"bytes": None, "path": "https://example.org/1.png"}, "url"),
        ({"bytes": None, "path": "hf://datasets/org/name/1.png"}, "url"),
        ({"bytes": None, "path": "zip://1.png::https://example.org/1.zip"}, "url"),
        ({"bytes": None, "path": "{outside}"}, "unsafe_path"),
        ({"bytes": None, "path": "../secret.png"}, "unsafe_path"),
        ({"bytes": None, "path": "{folder}/link.png"}, "unsafe_path"),
        ({"bytes": None, "path": "{folder}/none.png"}, "missing_file"),
        ({"bytes": b"no picture", "path": None}, "unreadable"),
        ({"bytes": picture(1, "BMP", (60, 60)), "path": None}, "too_large"),
    ],
)
def test_bad_pictures_are_ours_to_judge(tmp_path: Path, value: dict[str, Any], reason: str) -> None:
    folder = tmp_path / "items"
    named = {"outside": tmp_path / "secret.png", "folder": folder}
    (tmp_path / "secret.png").write_bytes(picture(9))
    if value["path"]:
        value = {**value, "path": value["path"].format(**named)}
    table = pa.table({"item_id": ["a", "b"], "image": pa.array([{"bytes": picture(1), "path": "x"}, value], IMAGE)})
    # Written without its cast to Image, which would want to read the files.
    datasets.Dataset(table).save_to_disk(folder)
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    log().save_to_disk(tmp_path / "log")
    options = {"items": str(folder), "interactions": str(tmp_path / "log"), "image_column": "image"}
    with pytest.raises(UserError, match="image of item 'b'"):
        run(tmp_path, unknown_items="drop", max_pixels=3000, **options)
    dataset = run(tmp_path, unknown_items="drop", max_pixels=3000, on_bad_media="skip", **options)
    assert dataset.manifest.source.dropped == {"unknown_item": 1, f"image:{reason}": 1}


@pytest.mark.parametrize("name", ["../elsewhere/data-00000-of-00001.arrow", "/etc/hostname", "link.arrow"])
def test_a_saved_dataset_that_names_files_of_others_is_refused(tmp_path: Path, name: str) -> None:
    items().save_to_disk(tmp_path / "elsewhere")
    items().save_to_disk(tmp_path / "items")
    (tmp_path / "items" / "link.arrow").symlink_to(tmp_path / "elsewhere" / "data-00000-of-00001.arrow")
    state = json.loads((tmp_path / "items" / "state.json").read_text())
    state["_data_files"] = [{"filename": name}]
    (tmp_path / "items" / "state.json").write_text(json.dumps(state))
    with pytest.raises(UserError, match=r"items: .*save the dataset again"):
        run(tmp_path, items=str(tmp_path / "items"))


@pytest.mark.parametrize("splits", ['{"splits": ["../items"]}', '{"splits": [1]}', '{"splits": "x"}', "[]", "{"])
def test_a_damaged_dict_is_one_line(tmp_path: Path, splits: str) -> None:
    items().save_to_disk(tmp_path / "items")
    (tmp_path / "dict").mkdir()
    (tmp_path / "dict" / "dataset_dict.json").write_text(splits)
    with pytest.raises(UserError, match=r"dict.*save the dataset again"):
        run(tmp_path, items=str(tmp_path / "dict"))


@pytest.mark.parametrize("name", ["state.json", "data-00000-of-00001.arrow", "dataset_info.json"])
def test_a_damaged_saved_dataset_is_one_line(tmp_path: Path, name: str) -> None:
    items().save_to_disk(tmp_path / "items")
    (tmp_path / "items" / name).write_bytes(b"\0 broken")
    with pytest.raises(UserError, match=r"items.*cannot be read") as caught:
        run(tmp_path, items=str(tmp_path / "items"))
    assert "\n" not in str(caught.value)


CARD = """---
configs:
- config_name: items
  data_files: items/*.parquet
- config_name: log
  data_files:
  - split: train
    path: log/train.parquet
  - split: test
    path: log/test.parquet
---
# A shop
"""


@pytest.fixture
def repository() -> dict[str, bytes]:
    """The files of a dataset with two configurations."""
    table = pa.table(log().data.table)
    values = [{"bytes": picture(1), "path": "../1.png"}, None, {"bytes": picture(2, "JPEG"), "path": None}]
    shop = pa.table({"item_id": ITEM_IDS, "title": ["A", "B", "C"], "image": pa.array(values, IMAGE)})
    return {
        "README.md": CARD.encode(),
        "items/part.parquet": parquet(shop),
        "log/train.parquet": parquet(table.slice(0, 3)),
        "log/test.parquet": parquet(table.slice(3)),
    }


CONFIGS = {
    "items_config": "items",
    "interactions_config": "log",
    "interactions_split": "train+test",
    "image_column": "image",
}


@pytest.fixture
def hub(repository: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallHub]:
    with serving(SmallHub("org/shop", repository)) as running:
        set_endpoint(monkeypatch, running.url)
        yield running


def test_configurations_of_a_dataset_on_the_hub(tmp_path: Path, hub: SmallHub) -> None:
    dataset = run(tmp_path, items="org/shop", **CONFIGS)
    check(dataset)
    recorded = dataset.manifest.source.options
    assert (recorded["items_revision"], recorded["interactions_revision"]) == (COMMIT, COMMIT)
    asked = [request for request in hub.requests if "parquet" in request and request.startswith("GET")]
    assert asked
    assert all(COMMIT in request for request in asked)


def test_what_is_in_the_cache_is_used_without_the_network(
    tmp_path: Path, hub: SmallHub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from huggingface_hub import constants

    run(tmp_path, items="org/shop", **CONFIGS)
    set_endpoint(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(UserError, match="cannot be reached"):
        run(tmp_path, items="org/shop", overwrite=True, **CONFIGS)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    check(run(tmp_path, items="org/shop", overwrite=True, **CONFIGS))
    assert "org/shop: taken from the cache" in caplog.text
    with pytest.raises(UserError, match=r"org/other: the dataset is not in the cache.*unset HF_HUB_OFFLINE, or give"):
        run(tmp_path, items="org/other", overwrite=True)
    assert "org/other: taken" not in caplog.text
    with pytest.raises(UserError, match=r"org/shop: the dataset cannot be read .*nope"):
        run(tmp_path, items="org/shop", items_config="nope", overwrite=True)
    with pytest.raises(UserError, match=r"org/shop \(revision v1\): the cache cannot be asked"):
        run(tmp_path, items="org/shop", items_revision="v1", overwrite=True, **CONFIGS)


def test_the_same_repository_as_a_folder(tmp_path: Path, repository: dict[str, bytes]) -> None:
    for name, content in repository.items():
        (tmp_path / "shop" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "shop" / name).write_bytes(content)
    check(run(tmp_path, items=str(tmp_path / "shop"), **CONFIGS))
    with pytest.raises(UserError, match=r"shop: the dataset cannot be read .*nope"):
        run(tmp_path, items=str(tmp_path / "shop"), items_config="nope", overwrite=True)


@pytest.mark.parametrize(
    "named",
    ["https://example.org/x.parquet", "../x.parquet", "/etc/x.parquet", "x.zip::https://example.org/x.parquet"],
)
@pytest.mark.parametrize("place", ["folder", "hub"])
def test_a_card_that_names_files_of_others_is_refused_before_anything_is_asked(
    tmp_path: Path, hub: SmallHub, repository: dict[str, bytes], place: str, named: str
) -> None:
    repository["README.md"] = CARD.replace("items/*.parquet", f"'{named}'").encode()
    if place == "folder":
        (tmp_path / "shop").mkdir()
        (tmp_path / "shop" / "README.md").write_bytes(repository["README.md"])
    name = "org/shop" if place == "hub" else str(tmp_path / "shop")
    with pytest.raises(UserError, match="not a file of its own; nothing is fetched from elsewhere"):
        run(tmp_path, items=name, **CONFIGS)
    assert not any("tree" in request or "parquet" in request for request in hub.requests)


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        ({}, {"items": "org/none"}, ["org/none", "no such dataset", "hf auth login"]),
        ({}, {"items": "org/shop", "items_revision": "v9"}, ["org/shop (revision v9)", "no such revision"]),
        ({"gated": True}, {"items": "org/shop"}, ["gated", "accept its terms"]),
        ({}, {"items": "bad id"}, ["bad id", "neither a folder nor a hub id"]),
        ({}, {"items": "/no/such/folder"}, ["the folder does not exist"]),
        ({}, {"items": "org/shop", "items_config": "nope"}, ["org/shop", "nope"]),
        ({}, {"items": "org/shop", "items_config": "items", "items_split": "x"}, ["no split 'x'", "train"]),
    ],
)
def test_what_the_hub_does_not_have_is_one_line(
    tmp_path: Path, hub: SmallHub, change: dict[str, Any], options: dict[str, Any], words: list[str]
) -> None:
    for name, value in change.items():
        setattr(hub, name, value)
    with pytest.raises(UserError) as caught:
        run(tmp_path, **options)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == []


def test_a_hub_that_does_not_answer_costs_seconds(
    tmp_path: Path, hub: SmallHub, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.setattr(huggingface_commit, "HUB_SECONDS", 0.3)
    hub.delay = 2
    for _ in range(2):
        start = time.monotonic()
        result = cli("import", "huggingface", tmp_path / "out", "--items", "org/shop")
        assert time.monotonic() - start < 10
        assert result.code == 2
        assert len(result.error_lines) == 1
        assert "org/shop: the Hugging Face hub cannot be reached" in result.err
        assert "HF_HUB_OFFLINE=1" in result.err
        set_endpoint(monkeypatch, "http://127.0.0.1:9")


def test_shards_on_the_hub_are_not_unpacked_by_others(
    tmp_path: Path, hub: SmallHub, repository: dict[str, bytes]
) -> None:
    repository.clear()
    repository["data/train-0.tar"] = bytes(1024)
    with pytest.raises(UserError, match=r"kind 'webdataset' are not read.*iisan import webdataset"):
        run(tmp_path, items="org/shop")


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    result = cli("import", "huggingface", tmp_path / "out", "--items", "org/shop")
    assert result.code == 2
    assert len(result.error_lines) == 1
    assert "pip install 'iisan[huggingface]'" in result.err


def test_nothing_is_imported_before_it_is_needed() -> None:
    code = "import sys; from iisan.cli import import_data; assert 'datasets' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
