"""The main path on a CUDA device gives what it gives on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from iisan.data.epoch_order import with_next
from iisan.encoders.config import EncoderConfig, Kind
from iisan.encoders.load import load_encoder
from iisan.evaluation.evaluate import evaluate
from iisan.evaluation.ranking import rank_targets
from iisan.evaluation.scorers import RecommenderScorer
from iisan.jobs.train import Validation, recommender_config
from iisan.models.recommender import Recommender
from iisan.states.pinned_transfer import PinnedTransfer
from iisan.states.prefetched_source import PrefetchedSource, one_ahead
from iisan.states.sources import ItemStates, StateSource
from iisan.training.trainer import Trainer
from tests.conftest import TinyModels
from tests.tiny_encoders import pictures, texts
from tests.toy_run import N_ITEMS, toy_config, toy_source, toy_split

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


class CudaSource:
    """The toy's states, gathered on the CPU and handed out on the device."""

    def __init__(self) -> None:
        self.inner = toy_source()
        self.modalities, self.n_items = self.inner.modalities, self.inner.n_items

    def gather(self, rows: torch.Tensor) -> dict[str, ItemStates]:
        return {name: states.to("cuda") for name, states in self.inner.gather(rows.cpu()).items()}


@pytest.mark.parametrize(("loss", "updates"), [("in_batch", "all"), ("in_batch", "batch"), ("full_softmax", "all")])
@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_training_and_evaluation_agree_with_the_cpu(tmp_path: Path, loss: str, updates: str, precision: str) -> None:
    options = {"loss": loss, "item_updates": updates, "precision": precision}
    config = toy_config(**options, max_epochs=3, dropout=0.0, item_id_dropout=0.0)
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


def test_items_with_equal_embeddings_tie_exactly_in_other_blocks() -> None:
    generator = torch.Generator().manual_seed(0)
    distinct, which = torch.randn(37, 64, generator=generator), torch.randint(37, (9001,), generator=generator)
    states, targets = torch.randn(100, 64, generator=generator), torch.randint(9001, (100,), generator=generator)
    nobody = (torch.zeros(0, dtype=torch.long, device="cuda"), torch.zeros(0, dtype=torch.long, device="cuda"))
    everything = torch.ones(9001, dtype=torch.bool, device="cuda")
    items = distinct[which].cuda()
    found = rank_targets(states.cuda(), items, targets.cuda(), everything, nobody, k=5)
    scores = (states.double() @ distinct.double().T)[:, which]  # [B, N]
    own = scores.gather(1, targets.unsqueeze(1))
    ties = (which == which[targets].unsqueeze(1)).sum(dim=1) - 1
    assert found.keep_target.tolist() == (1 + (scores > own + 1e-9).sum(dim=1) + ties / 2).tolist()
    best = scores.gather(1, found.top.cpu())
    torch.testing.assert_close(best, scores.topk(5, dim=1).values)


def test_encoding_overlaps_copies_and_gives_the_numbers_of_a_cpu(tiny_models: TinyModels, tmp_path: Path) -> None:
    contents: dict[Kind, list[Any]] = {"text": texts(50), "image": pictures(tmp_path, 50)}
    places: dict[Kind, Path] = {"text": tiny_models.text, "image": tiny_models.image}
    for kind, place in places.items():
        options: dict[str, Any] = {"model": str(place), "kind": kind, "dtype": "float32", "batch_size": 8}
        expected = load_encoder(EncoderConfig(**options, device="cpu")).encode(contents[kind])
        for decoders in (0, 2):
            encoder = load_encoder(EncoderConfig(**options, device="cuda", decoders=decoders))
            parts = [contents[kind][:20], contents[kind][20:]]
            found = torch.cat(list(encoder.encode_parts(parts)))
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


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


class ResidentSource:
    """States that lie on the device as they are on disk."""

    resident = True

    def __init__(self) -> None:
        inner = toy_source()
        self.modalities, self.n_items = inner.modalities, inner.n_items
        self.states = {name: states.to("cuda") for name, states in inner.gather(torch.arange(N_ITEMS)).items()}

    def gather(self, rows: torch.Tensor) -> dict[str, ItemStates]:
        return {
            name: ItemStates(
                [tap if len(tap) == 1 else tap[rows] for tap in states.taps],
                None if states.available is None else states.available[rows],
            )
            for name, states in self.states.items()
        }


LOSSES = ["in_batch", "full_softmax", "sampled_softmax"]


def trainer_of(folder: Path, source: StateSource, **options: Any) -> Trainer:
    config = toy_config(**{"whiten": "no", "negatives": 40, **options})
    torch.manual_seed(0)
    model = Recommender(recommender_config(config, source.modalities, N_ITEMS)).to("cuda")
    return Trainer(model, source, toy_split(), config, folder, Validation(source, toy_split(), config))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_graphed_steps_follow_the_steps_one_by_one(tmp_path: Path, precision: str, loss: str) -> None:
    found = []
    for graphed in (True, False):
        options = {"precision": precision, "max_epochs": 3, "dropout": 0.0, "item_id_dropout": 0.0, "loss": loss}
        trainer = trainer_of(tmp_path / str(graphed), ResidentSource(), **options)
        assert trainer.fixed is not None
        assert trainer.fixed.records
        trainer.fixed.records = graphed
        found.append([record["loss"] for record in trainer.fit().history])
        assert trainer.fixed.records == graphed  # else it could not be recorded
    assert found[0] == pytest.approx(found[1], rel=1e-3 if precision == "float32" else 0.05)


def train_without_waiting(trainer: Trainer) -> None:
    """Some steps in which CUDA refuses whatever would make the host wait."""
    trainer.model.train()
    assert trainer.fixed is not None
    batches = list(trainer.order.batches(0))
    for batch in batches:  # records, and allocates what pins memory
        trainer._train_on(batch)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch, following in with_next(batches):
            if following is not None:
                trainer._expect(following)
            trainer._train_on(batch)
            trainer.position.step += 1
    finally:
        torch.cuda.set_sync_debug_mode("default")
        trainer.fixed.forget()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("updates", ["all", "batch"])
@pytest.mark.parametrize("graphed", [True, False])
def test_no_step_makes_the_host_wait(tmp_path: Path, loss: str, updates: str, graphed: bool) -> None:
    trainer = trainer_of(tmp_path, ResidentSource(), loss=loss, item_updates=updates)
    assert trainer.fixed is not None
    trainer.fixed.records &= graphed
    train_without_waiting(trainer)


@pytest.mark.parametrize("loss", LOSSES)
def test_no_step_waits_for_states_that_are_prefetched(tmp_path: Path, loss: str) -> None:
    train_without_waiting(trainer_of(tmp_path, prefetched(), loss=loss))


def prefetched() -> PrefetchedSource:
    return PrefetchedSource(toy_source(), PinnedTransfer(torch.device("cuda")))


def test_prefetched_states_are_those_of_the_source() -> None:
    source, inner = prefetched(), toy_source()
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randint(N_ITEMS, (20 + number % 5,), generator=generator) for number in range(200)]
    found = []
    for part in one_ahead(source, parts):
        states = source.gather(part)
        found.append({name: (state.stacked() * 2, state.available) for name, state in states.items()})
    for part, states in zip(parts, found, strict=True):
        for name, expected in inner.gather(part).items():
            taps, available = states[name]
            assert torch.equal(taps.cpu(), expected.stacked() * 2)
            assert (available is None) == (expected.available is None)


@pytest.mark.parametrize("loss", LOSSES)
def test_training_from_prefetched_states_follows_that_from_resident_ones(tmp_path: Path, loss: str) -> None:
    found = []
    for name, source in (("resident", ResidentSource()), ("prefetched", prefetched())):
        options = {"precision": "float32", "max_epochs": 3, "dropout": 0.0, "item_id_dropout": 0.0, "loss": loss}
        trainer = trainer_of(tmp_path / name, source, **options)
        found.append([record["loss"] for record in trainer.fit().history])
    assert found[0] == pytest.approx(found[1], rel=1e-3)
