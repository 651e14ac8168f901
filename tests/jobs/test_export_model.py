"""An exported model folder: moved, read offline by another process, and free of this machine's paths."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import iisan
from iisan.data.dataset import Dataset
from iisan.errors import UserError
from iisan.jobs.export.model_folder import ExportModelJob, export_model
from iisan.jobs.train import TrainJob, TrainOutcome, train_recommender
from iisan.models.added_facts import AddedFacts
from iisan.models.added_items import AddedItems
from iisan.models.additions import Additions
from iisan.models.file_names import PICTURES
from iisan.models.picture_store import PictureStore
from iisan.models.recommender import Recommender
from iisan.training.config import TrainConfig
from tests.conftest import TINY, TinyModels

HISTORIES = [["i0", "i1"], ["new", "i7"], ["i2"]]
READ = """
import json, sys
from iisan import Recommender
model = Recommender.from_pretrained(sys.argv[1])
lists = model.recommend(json.loads(sys.argv[2]), k=9)
print(json.dumps([[[one.item_id, one.title, one.score] for one in items] for items in lists]))
"""


@pytest.fixture
def grown(trained: TrainOutcome, tmp_path: Path) -> Path:
    """A copy of the trained run's model to which an item was added, and from which one was taken."""
    folder = tmp_path / "run" / "model"
    shutil.copytree(trained.folder, folder)
    dim = trained.model.table.embeddings.shape[1]
    vector = torch.nn.functional.normalize(torch.ones(1, dim), dim=1)
    Additions(folder).append(AddedItems.new(["new"], ["A new one"], vector, {"text": ["some hash"]}))
    Additions(folder).remove(["i3"], dim)
    return folder


def as_data(model: Recommender) -> list[list[list[Any]]]:
    return [[[one.item_id, one.title, one.score] for one in items] for items in model.recommend(HISTORIES, k=9)]


def test_a_folder_that_was_moved_is_read_offline_in_a_fresh_process(grown: Path, tmp_path: Path) -> None:
    wanted = as_data(Recommender.from_pretrained(grown))
    outcome = export_model(ExportModelJob(model=str(grown.parent), output=tmp_path / "out" / "model"))
    assert (outcome.n_items, outcome.n_additions) == (25, 2)
    (tmp_path / "elsewhere").mkdir()
    moved = shutil.move(tmp_path / "out" / "model", tmp_path / "elsewhere" / "a model")
    shutil.rmtree(grown.parent)
    environment = {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HOME": str(tmp_path / "nobody"),
        "OMP_NUM_THREADS": "1",
        "PATH": os.environ["PATH"],
    }
    ended = subprocess.run(
        [sys.executable, "-c", READ, "a model", json.dumps(HISTORIES)],
        cwd=tmp_path / "elsewhere",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == wanted
    assert Path(moved).is_dir()


def test_additions_are_part_of_the_table_and_more_can_follow(grown: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_model(ExportModelJob(model=str(grown), output=out))
    names = {"config.json", "model.safetensors", "items.parquet", "item_embeddings.safetensors", "README.md"}
    assert {path.name for path in out.iterdir()} == names
    before, after = Recommender.from_pretrained(grown).table, Recommender.from_pretrained(out).table
    assert after.item_ids == before.item_ids
    assert after.titles == before.titles
    assert after.hashes == before.hashes
    for one, other in ((before.embeddings, after.embeddings), (before.recommendable, after.recommendable)):
        assert torch.equal(one, other)
    assert torch.equal(before.removed, after.removed)
    # What was added is still there, and the next addition gets a number of its own.
    dim = after.embeddings.shape[1]
    assert Additions(out).append(AddedItems.new(["newer"], [None], torch.ones(1, dim), {})) == 3
    assert len(Recommender.from_pretrained(out).table) == 26
    assert "| items in the catalogue | 25 |" in (out / "README.md").read_text(encoding="utf-8")
    assert Additions(grown).last() == 2


def test_pictures_of_added_items_travel(grown: Path, tmp_path: Path) -> None:
    name = "a" * 64
    PictureStore(grown).keep(name, b"a picture")
    PictureStore(grown).keep("b" * 64, b"of nobody")
    dim = Recommender.from_pretrained(grown).table.embeddings.shape[1]
    shown = AddedItems.new(["shown"], [None], torch.ones(1, dim), {}, {0: AddedFacts(picture=name)})
    Additions(grown).append(shown)
    export_model(ExportModelJob(model=str(grown), output=tmp_path / "out"))
    assert [path.name for path in (tmp_path / "out" / PICTURES).iterdir()] == [f"{name}.jpg"]
    found = PictureStore(tmp_path / "out").find(name)
    assert found is not None
    assert found.read_bytes() == b"a picture"


def test_paths_of_this_machine_are_cut(grown: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = json.loads((grown / "config.json").read_text(encoding="utf-8"))
    config["details"]["encoders"]["text"]["model"] = "/home/somebody/models/my-bert"
    config["details"]["notes"] = ["C:\\models\\vit", "a/relative", "/", "no path"]
    config["details"]["columns"]["texts"] = {"text": "/{title}"}
    (grown / "config.json").write_text(json.dumps(config), encoding="utf-8")
    export_model(ExportModelJob(model=str(grown), output=tmp_path / "out"))
    details = Recommender.from_pretrained(tmp_path / "out").details
    assert details["encoders"]["text"]["model"] == "my-bert"
    assert details["notes"] == ["vit", "a/relative", "/", "no path"]
    assert details["columns"]["texts"] == {"text": "/{title}"}
    assert "'/home/somebody/models/my-bert' is a path of this machine" in caplog.text
    for path in (tmp_path / "out").iterdir():
        for name in ("somebody", str(tmp_path), str(Path(iisan.__file__).parent)):
            assert name.encode() not in path.read_bytes(), path.name


@pytest.mark.parametrize("method", ["lora", "bitfit"])
def test_tuned_encoders_travel_without_the_place_they_came_from(
    tiny_dataset: Dataset, tiny_models: TinyModels, tmp_path: Path, method: str
) -> None:
    if method == "lora":
        pytest.importorskip("peft")
    config = TrainConfig.preset("default", **{**TINY, "max_epochs": 1, "method": method})
    places = (f"text={tiny_models.text}", f"image={tiny_models.image}")
    run = train_recommender(TrainJob(dataset=tiny_dataset.path, run=tmp_path / "run", encoder=places), config)
    export_model(ExportModelJob(model=str(run.folder), output=tmp_path / "out"))
    for name in ("image", "text"):
        theirs, ours = run.folder / "encoders" / name, tmp_path / "out" / "encoders" / name
        weights = sorted(path.name for path in theirs.glob("*.safetensors"))
        assert weights
        assert sorted(path.name for path in ours.glob("*.safetensors")) == weights
        assert all((ours / name).read_bytes() == (theirs / name).read_bytes() for name in weights)
        assert sorted(path.name for path in ours.glob("*.json")) == sorted(path.name for path in theirs.glob("*.json"))
    for path in (tmp_path / "out").rglob("*"):
        assert path.is_dir() or str(tiny_models.text.parent).encode() not in path.read_bytes(), path
    if method == "lora":
        before = json.loads((run.folder / "encoders" / "text" / "adapter_config.json").read_text(encoding="utf-8"))
        after = json.loads((tmp_path / "out" / "encoders" / "text" / "adapter_config.json").read_text(encoding="utf-8"))
        assert before["base_model_name_or_path"] == str(tiny_models.text)
        assert after == {**before, "base_model_name_or_path": tiny_models.text.name}


def test_what_is_there_stays(trained: TrainOutcome, tmp_path: Path) -> None:
    job = ExportModelJob(model=str(trained.folder), output=tmp_path / "out")
    export_model(job)
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(UserError, match="the model exists already"):
        export_model(job)
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    (tmp_path / "out" / "leftover.txt").write_text("of before", encoding="utf-8")
    export_model(job.model_copy(update={"overwrite": True}))
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("[]", encoding="utf-8")
    for output, message in [
        (tmp_path / "mine", "something that is not a model"),
        (tmp_path / "mine" / "config.json", "not a folder"),
        (trained.folder, "folder of the model itself"),
        (trained.folder / "below", "folder of the model itself"),
    ]:
        with pytest.raises(UserError, match=message):
            export_model(job.model_copy(update={"output": output, "overwrite": True}))
    for name in ("absent", str(tmp_path / "mine")):
        with pytest.raises(UserError):
            export_model(ExportModelJob(model=name, output=tmp_path / "other" / "out"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "out"]


def test_an_error_on_the_way_leaves_nothing(
    trained: TrainOutcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("iisan.models.item_table.pq.write_table", full)
    with pytest.raises(UserError, match="make room"):
        export_model(ExportModelJob(model=str(trained.folder), output=tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []
