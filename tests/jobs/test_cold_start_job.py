"""The cold-start report on the tiny dataset, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from iisan.data.dataset import Dataset
from iisan.data.held_out import held_out_rows
from iisan.errors import UserError
from iisan.jobs.cold_start import ColdStartJob, cold_start
from iisan.jobs.train import TrainOutcome
from iisan.models.recommender import Recommender
from iisan.states.cached_source import CachedSource
from iisan.states.store import HiddenStateStore
from tests.conftest import N_ITEMS


@pytest.fixture(scope="module")
def held(train_tiny: Callable[..., TrainOutcome], tmp_path_factory: pytest.TempPathFactory) -> TrainOutcome:
    """A run that a quarter of the items were held out from."""
    return train_tiny(tmp_path_factory.mktemp("held") / "run", hold_out_items=0.25, whiten="yes")


def test_held_out_items_leave_no_trace_in_the_model(held: TrainOutcome, tiny_dataset: Dataset) -> None:
    rows = torch.from_numpy(held_out_rows(N_ITEMS, 0.25, 0))
    assert held.model.own is not None
    learned = held.model.own.table.weight.abs().sum(dim=1) > 0
    assert not learned[rows].any()
    assert learned.any()
    stores = {name: HiddenStateStore.open(tiny_dataset.path / "states" / name) for name in ("image", "text")}
    source = CachedSource(stores, tiny_dataset.item_ids)
    seen = torch.tensor([row for row in range(N_ITEMS) if row not in rows.tolist()])
    again = Recommender(held.model.config)
    again.fit_whitening(source, seen)
    assert torch.equal(again.whitening["text"].mean, held.model.whitening["text"].mean)
    whole = Recommender(held.model.config)
    whole.fit_whitening(source)
    assert not torch.equal(whole.whitening["text"].mean, held.model.whitening["text"].mean)


def test_the_report_counts_what_the_log_holds(held: TrainOutcome, tiny_dataset: Dataset) -> None:
    new = set(held_out_rows(N_ITEMS, 0.25, 0).tolist())
    log = tiny_dataset.interactions
    by_user = [log.item[log.user == user].tolist() for user in range(log.n_users)]
    n = sum(
        row in new and any(before not in new for before in one[:place])
        for one in by_user
        for place, row in enumerate(one)
    )
    for history in ("warm", "all"):
        found = cold_start(ColdStartJob(model=str(held.folder.parent), history=history, ks=[3], device="cpu"))
        assert (found.n_new_items, found.among_all.n_choices) == (6, n)
        assert (found.among_all.n_candidates, found.among_new.n_candidates) == (N_ITEMS, 6)
        assert set(found.among_all.metrics) == {"model", "popularity", "chance"}
        assert set(found.among_all.metrics["model"]["paper"]) == {"HR@3", "NDCG@3", "MRR", "percentile"}
        assert found.warm is not None


def test_new_items_are_embedded_as_new_whatever_the_table_says(held: TrainOutcome, tmp_path: Path) -> None:
    expected = cold_start(ColdStartJob(model=str(held.folder.parent), device="cpu"))
    run = shutil.copytree(held.folder.parent, tmp_path / "run")
    model = Recommender.from_pretrained(run / "model")
    rows = torch.from_numpy(held_out_rows(N_ITEMS, 0.25, 0))
    model.table.embeddings = model.table.embeddings.clone()
    model.table.embeddings[rows] = 9.0
    model.save_pretrained(run / "model")
    dataset = json.loads((held.folder.parent / "run.json").read_text(encoding="utf-8"))["places"]["dataset"]["absolute"]
    assert cold_start(ColdStartJob(model=str(run), dataset=dataset, device="cpu")) == expected


def test_what_cannot_be_reported_is_one_line(
    held: TrainOutcome,
    trained: TrainOutcome,
    tiny_dataset: Dataset,
    tmp_path: Path,
    train_tiny: Callable[..., TrainOutcome],
) -> None:
    with pytest.raises(UserError, match=r"the model was trained on all items; train one with --hold-out-items"):
        cold_start(ColdStartJob(model=str(trained.folder)))
    with pytest.raises(UserError, match="not a dataset folder"):
        cold_start(ColdStartJob(model=str(held.folder), dataset=tmp_path))
    with pytest.raises(UserError, match="no hidden-state store here"):
        cold_start(ColdStartJob(model=str(held.folder), dataset=tiny_dataset.path, states=tmp_path))
    other = shutil.copytree(tiny_dataset.path, tmp_path / "other")
    manifest = json.loads((other / "dataset.json").read_text(encoding="utf-8"))
    manifest["sha256"]["items.parquet"] = "0" * 64
    (other / "dataset.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(UserError, match=r"was not trained on .*other as it is now"):
        cold_start(ColdStartJob(model=str(held.folder), dataset=other))
    ids = train_tiny(tmp_path / "ids", method="id", hold_out_items=0.25, max_epochs=1)
    with pytest.raises(UserError, match="knows items by their ids only"):
        cold_start(ColdStartJob(model=str(ids.folder.parent), dataset=tiny_dataset.path))
