"""Imported states train as encoded ones do, and a modality may exist as states only."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from iisan.data.dataset import Dataset
from iisan.errors import UserError
from iisan.jobs.encode import EncodeJob, encode_dataset
from iisan.jobs.import_states import ImportStatesJob, import_dataset_states
from iisan.jobs.open_stores import modality_names, open_stores
from iisan.jobs.train import TrainJob, TrainOutcome, train_recommender
from iisan.states.cached_source import CachedSource
from iisan.states.import_states import ImportedStates, ImportReport, import_states
from iisan.states.state_rows import open_states
from iisan.states.store import HiddenStateStore
from iisan.training.config import TrainConfig
from tests.conftest import N_ITEMS, NO_CONTENT, NO_TEXT, TINY

ITEMS = [f"i{row}" for row in range(N_ITEMS)]


def export(store: HiddenStateStore, folder: Path) -> list[Path]:
    """What a user would have: an array of all taps, and a list of ids in another order than the catalogue's."""
    ids = store.item_ids[::-1]
    rows = torch.from_numpy(store.rows_of(ids))
    states = CachedSource({"any": store}, ids).gather(torch.arange(len(ids)))["any"].stacked()
    assert (rows >= 0).all()
    folder.mkdir()
    np.save(folder / "states.npy", states.numpy())
    (folder / "ids.txt").write_text("\n".join(ids) + "\n", encoding="utf-8")
    return [folder / "states.npy", folder / "ids.txt"]


def bring(dataset: Path, modality: str, states: Path, ids: Path, **options: Any) -> ImportReport:
    job = ImportStatesJob(
        dataset=dataset, modality=modality, states=[states], ids=[ids], **{"encoder_name": "mine", **options}
    )
    return import_dataset_states(job)


def vectors(folder: Path, ids: list[str], width: int = 5, seed: int = 0) -> list[Path]:
    np.save(folder / "vectors.npy", np.random.default_rng(seed).standard_normal((len(ids), width)).astype(np.float32))
    (folder / "vectors.json").write_text(json.dumps(ids))
    return [folder / "vectors.npy", folder / "vectors.json"]


def train(dataset: Path, run: Path, states: Path | None = None, **options: object) -> TrainOutcome:
    config = TrainConfig.preset("default", **{**TINY, "max_epochs": 2, **options})
    return train_recommender(TrainJob(dataset=dataset, run=run, states=states), config)


def losses(outcome: TrainOutcome) -> list[dict[str, Any]]:
    return [{key: value for key, value in record.items() if "seconds" not in key} for record in outcome.result.history]


@pytest.fixture
def copy(tiny_dataset: Dataset, tmp_path: Path) -> Path:
    shutil.copytree(tiny_dataset.path, tmp_path / "dataset")
    return tmp_path / "dataset"


@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_exported_states_come_back_and_train_to_the_same_losses(
    copy: Path, encode_job: Callable[..., EncodeJob], tmp_path: Path, pooling: str
) -> None:
    encoded, other = tmp_path / "encoded", tmp_path / "other"
    encode_dataset(encode_job(copy, pooling=pooling, states=encoded, store_dtype="float32"))
    dataset = Dataset.open(copy)
    for name in dataset.modalities:
        store = HiddenStateStore.open(encoded / name)
        files = export(store, tmp_path / f"export {name}")
        report = bring(copy, name, *files, taps=store.taps, pooling=pooling, output=other)
        assert (report.imported + report.reused, report.missing) == (len(store), 0)
        back = HiddenStateStore.open(other / name)
        assert (back.taps, back.constant_taps) == (store.taps, store.constant_taps)
        assert torch.equal(back.constant, store.constant)
        assert torch.equal(back.gather(back.rows_of(store.item_ids)), store.gather(store.rows_of(store.item_ids)))
    trained = [train(copy, tmp_path / f"run {states.name}", states) for states in (encoded, other)]
    assert losses(trained[0]) == losses(trained[1])
    weights = [(outcome.folder / "model.safetensors").read_bytes() for outcome in trained]
    assert weights[0] == weights[1]
    assert trained[1].model.details["encoders"]["text"]["imported"] is True


def test_a_modality_of_states_only_is_learned_from(copy: Path, tmp_path: Path) -> None:
    heard = [item for row, item in enumerate(ITEMS) if row % 3 and row not in NO_CONTENT]
    assert bring(copy, "sound", *vectors(tmp_path, heard)).imported == len(heard)
    dataset = Dataset.open(copy)
    assert modality_names(dataset, copy / "states") == [*dataset.modalities, "sound"]
    both = train(copy, tmp_path / "run")
    assert set(both.model.details["encoders"]) == {"image", "sound", "text"}
    alone = train(copy, tmp_path / "alone", modalities=["sound"])
    assert set(alone.model.details["encoders"]) == {"sound"}
    lists = alone.model.recommend([["i1"]], k=N_ITEMS, exclude_seen=False)
    assert {item.item_id for item in lists[0]} == set(heard)
    assert set(train(copy, tmp_path / "without", modalities=["text"]).model.details["encoders"]) == {"text"}


def test_stores_that_were_not_imported_make_no_modality(copy: Path) -> None:
    shutil.copytree(copy / "states" / "text", copy / "states" / "old")
    (copy / "states" / "notes").mkdir()
    dataset = Dataset.open(copy)
    assert modality_names(dataset, copy / "states") == list(dataset.modalities)
    with pytest.raises(UserError, match="no modality 'old'"):
        open_stores(dataset, ["old"], copy / "states")


def test_items_that_lack_the_content_have_no_place_for_states(copy: Path, tmp_path: Path) -> None:
    output = tmp_path / "other"
    files = vectors(tmp_path, ITEMS)
    with pytest.raises(
        UserError,
        match=f"{len(NO_TEXT)} ids are of no item of the catalogue, or of one without such content: 'i7', 'i20'",
    ):
        bring(copy, "text", *files, output=output)
    report = bring(copy, "text", *files, output=output, on_unknown="skip")
    assert (report.imported, report.unknown, report.missing) == (N_ITEMS - len(NO_TEXT), len(NO_TEXT), 0)
    assert list(open_stores(Dataset.open(copy), ["text"], output)) == ["text"]


def test_items_may_be_let_lack_their_states(copy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    output, some = tmp_path / "other", ITEMS[:5]
    files = vectors(tmp_path, some)
    with pytest.raises(UserError, match=f"{N_ITEMS - len(NO_TEXT) - 5} items have no states: 'i5', 'i6', 'i8', …"):
        bring(copy, "text", *files, output=output)
    assert not output.exists()
    bring(copy, "text", *files, output=output, on_missing="skip")
    with caplog.at_level("INFO"):
        outcome = train(copy, tmp_path / "run", output, modalities=["text"])
    assert "text: imported states of 5 items, the dataset has 22 with it" in caplog.text
    lists = outcome.model.recommend([["i1"]], k=N_ITEMS, exclude_seen=False)
    assert {item.item_id for item in lists[0]} == set(some)


def test_encoding_over_imported_states_is_refused_before_an_encoder_is_loaded(copy: Path, tmp_path: Path) -> None:
    bring(copy, "text", *vectors(tmp_path, [item for row, item in enumerate(ITEMS) if row not in NO_TEXT]), output=copy)
    with pytest.raises(
        UserError, match=r"text: the store holds states that were imported \(of 'mine'\); encode another"
    ):
        encode_dataset(EncodeJob(dataset=copy, states=copy, text_model="./nowhere"))


class Killed(BaseException):
    pass


def test_an_interrupted_import_is_not_trained_on(copy: Path, tmp_path: Path) -> None:
    files = vectors(tmp_path, ITEMS)

    def kill(done: int, total: int, label: str) -> None:
        if label == "import" and done > 5:
            raise Killed

    with pytest.raises(Killed):
        import_states(
            open_states([files[0]]),
            ITEMS,
            copy / "states" / "sound",
            ImportedStates("mine"),
            shard_rows=5,
            progress=kill,
        )
    with pytest.raises(UserError, match=r"states/sound: the run .* was interrupted; run `iisan states import` again"):
        train(copy, tmp_path / "run")
    assert bring(copy, "sound", *files).imported == N_ITEMS - 5
    train(copy, tmp_path / "run", max_epochs=1)


@pytest.mark.parametrize("name", ["inter", "", "../text", "a.b", ".hidden", "a b", "x/y"])
def test_names_that_no_modality_can_have(copy: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="a modality cannot be named"):
        bring(copy, name, *vectors(tmp_path, ITEMS))
