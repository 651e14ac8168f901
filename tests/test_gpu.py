"""The main path on a CUDA device gives what it gives on the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from iisan.evaluation.evaluate import evaluate
from iisan.evaluation.scorers import RecommenderScorer
from iisan.jobs.train import Validation, recommender_config
from iisan.models.recommender import Recommender
from iisan.states.sources import ItemStates
from iisan.training.trainer import Trainer
from tests.toy_run import N_ITEMS, toy_config, toy_source, toy_split

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


class CudaSource:
    """The toy's states, gathered on the CPU and handed out on the device."""

    def __init__(self) -> None:
        self.inner = toy_source()
        self.modalities, self.n_items = self.inner.modalities, self.inner.n_items

    def gather(self, rows: torch.Tensor) -> dict[str, ItemStates]:
        return {name: states.to("cuda") for name, states in self.inner.gather(rows.cpu()).items()}


@pytest.mark.parametrize("loss", ["in_batch", "full_softmax"])
@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_training_and_evaluation_agree_with_the_cpu(tmp_path: Path, loss: str, precision: str) -> None:
    config = toy_config(loss=loss, precision=precision, max_epochs=3, dropout=0.0, item_id_dropout=0.0)
    split, found = toy_split(), {}
    for device, source in (("cpu", toy_source()), ("cuda", CudaSource())):
        torch.manual_seed(0)
        model = Recommender(recommender_config(config, source.modalities, N_ITEMS)).to(device)
        model.fit_whitening(source)
        prepared = model.prepared(source)
        trainer = Trainer(model, prepared, split, config, tmp_path / device, Validation(prepared, split, config))
        history = trainer.fit().history
        items = model.embed_items(prepared)
        ranks = evaluate(RecommenderScorer(model, items), split, "test", config.max_length).ranks["paper"]
        found[device] = ([record["loss"] for record in history], ranks)
    tolerance = 0.001 if precision == "float32" else 0.05
    assert found["cuda"][0] == pytest.approx(found["cpu"][0], rel=tolerance)
    if precision == "float32":
        assert (found["cuda"][1] == found["cpu"][1]).double().mean() > 0.9


def test_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    source, split = CudaSource(), toy_split()

    def run(folder: Path, epochs: int) -> list[float]:
        config = toy_config(max_epochs=epochs)
        torch.manual_seed(0)
        model = Recommender(recommender_config(config, source.modalities, N_ITEMS)).to("cuda")
        model.fit_whitening(source)
        prepared = model.prepared(source)
        trainer = Trainer(model, prepared, split, config, folder, Validation(prepared, split, config))
        return [record["loss"] for record in trainer.fit().history]

    whole = run(tmp_path / "whole", 3)
    run(tmp_path / "parts", 1)
    assert run(tmp_path / "parts", 3) == pytest.approx(whole, rel=1e-4)
