"""Training with gradients through the encoders, by the same job and loop as everything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from iisan.data.dataset import Dataset
from iisan.errors import UserError
from iisan.jobs.evaluate import EvaluateJob, evaluate_model
from iisan.jobs.train import TrainJob, TrainOutcome, train_recommender
from iisan.models.recommender import Recommender
from iisan.training.config import TrainConfig
from tests.conftest import TINY, TinyModels

METHODS = ["full", "adapter", "lora", "bitfit", "peft:ia3"]
Train = Callable[..., TrainOutcome]


@pytest.fixture
def train(tiny_dataset: Dataset, tiny_models: TinyModels) -> Train:
    def run(folder: Path, **options: Any) -> TrainOutcome:
        config = TrainConfig.preset("default", **{**TINY, "encoder_learning_rate": 1e-3, **options})
        places = (f"text={tiny_models.text}", f"image={tiny_models.image}")
        return train_recommender(TrainJob(dataset=tiny_dataset.path, run=folder, encoder=places), config)

    return run


def losses(outcome: TrainOutcome) -> list[float]:
    return [record["loss"] for record in outcome.result.history]


@pytest.mark.parametrize("method", METHODS)
def test_each_method_learns_saves_and_recommends(
    train: Train, tiny_dataset: Dataset, tmp_path: Path, method: str
) -> None:
    outcome = train(tmp_path / "run", method=method)
    found = losses(outcome)
    assert found[-1] < found[0]
    model = Recommender.from_pretrained(outcome.folder)
    assert model.recommend([["i0", "i1"]], k=3) == outcome.model.recommend([["i0", "i1"]], k=3)
    assert {path.name for path in (outcome.folder / "encoders").iterdir()} == {"image", "text"}
    assert not any(name.startswith("encoders.") for name in load_file(outcome.folder / "model.safetensors"))
    evaluation = evaluate_model(EvaluateJob(model=str(tmp_path / "run"), dataset=tiny_dataset.path))
    assert 0 <= evaluation.model.metrics["paper"]["HR@10"] <= 1


@pytest.mark.parametrize("method", ["full", "lora"])
def test_an_interrupted_run_ends_like_an_unbroken_one(train: Train, tmp_path: Path, method: str) -> None:
    unbroken = train(tmp_path / "unbroken", method=method)
    train(tmp_path / "broken", method=method, max_epochs=1)
    # What a run of one epoch left is what a kill after the first epoch leaves.
    config = tmp_path / "broken" / "config.yaml"
    config.write_text(config.read_text().replace("max_epochs: 1\n", f"max_epochs: {TINY['max_epochs']}\n"))
    continued = train(tmp_path / "broken", method=method)
    assert losses(continued) == losses(unbroken)
    one, other = (load_file(run.folder / "model.safetensors") for run in (unbroken, continued))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_checkpoint_holds_no_frozen_weight_of_an_encoder(train: Train, tmp_path: Path) -> None:
    train(tmp_path / "run", method="lora")
    names = load_file(tmp_path / "run" / "last.safetensors")
    encoder = [name for name in names if name.startswith("model.encoders.")]
    assert encoder
    assert all(".lora_" in name for name in encoder)


def test_iisan_from_stored_and_from_live_states_follows_one_curve(train: Train, tmp_path: Path) -> None:
    cached = train(tmp_path / "cached", whiten="yes")
    live = train(tmp_path / "live", whiten="yes", source="live")
    assert losses(live) == pytest.approx(losses(cached), rel=1e-5)
    rows = torch.arange(3)
    assert torch.allclose(cached.model.table.embeddings[rows], live.model.table.embeddings[rows], rtol=1e-4, atol=1e-5)


def test_a_budget_of_steps_ends_in_the_middle_of_an_epoch(train: Train, tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", max_epochs=1)
    short = train(tmp_path / "short", max_steps=2)
    assert len(short.result.history) == 1
    assert losses(short) != losses(whole)
    records = [json.loads(line) for line in (tmp_path / "short" / "metrics.jsonl").read_text().splitlines()]
    assert [record["steps"] for record in records] == [2]


@pytest.mark.parametrize("loss", ["full_softmax", "sampled_softmax", "auto"])
def test_a_loss_over_the_catalogue_is_refused(train: Train, tmp_path: Path, loss: str) -> None:
    with pytest.raises(UserError, match="whole catalogue through the encoders"):
        train(tmp_path / "run", method="lora", loss=loss)
    assert not (tmp_path / "run").exists()


def test_an_encoder_from_a_folder_must_be_named(tiny_dataset: Dataset, tmp_path: Path) -> None:
    job = TrainJob(dataset=tiny_dataset.path, run=tmp_path / "run")
    with pytest.raises(UserError, match="--encoder MODALITY="):
        train_recommender(job, TrainConfig.preset("default", **{**TINY, "method": "lora"}))
