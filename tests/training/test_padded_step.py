"""A step in fixed shapes gives the numbers of the step over the distinct items, and never asks the device anything."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from iisan.data.windows import training_windows
from iisan.jobs.train import recommender_config
from iisan.models.recommender import Recommender
from iisan.states.sources import ItemStates, ModalityShape
from iisan.training.graphed_steps import GraphedSteps
from iisan.training.padded_batch import PaddedBatch
from iisan.training.padded_step import padded_in_batch_loss
from iisan.training.step import InBatchStep
from iisan.training.trained_state import trained_parameters
from tests.toy_run import N_ITEMS, toy_config, toy_source, toy_split, toy_trainer

PAPER: dict[str, Any] = {"similarity": "dot", "whiten": "no", "item_ids": False}


def toy_step(**options: Any) -> InBatchStep:
    config = toy_config(dropout=0.0, item_id_dropout=0.0, **options)
    torch.manual_seed(0)
    source = toy_source()
    model = Recommender(recommender_config(config, source.modalities, N_ITEMS))
    model.fit_whitening(source)
    return InBatchStep(model, model.prepared(source), toy_split())


def windows() -> np.ndarray[Any, Any]:
    return training_windows(toy_split(), 5)


def gradients(step: InBatchStep, loss: Tensor) -> dict[str, Tensor]:
    step.model.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    return {name: one.grad.clone() for name, one in step.model.named_parameters() if one.grad is not None}


@pytest.mark.parametrize("n", [7, 20, 60])
def test_the_distinct_items_come_first(n: int) -> None:
    rng = np.random.default_rng(n)
    batch = np.where(rng.random((6, 6)) < 0.4, 0, rng.choice([2, 3, 5, 8, 13, 21, 34], (6, 6)))
    padded = PaddedBatch.of(torch.from_numpy(batch), n)
    distinct, counts = np.unique(batch[batch > 0], return_counts=True)
    filled = n - len(distinct)
    assert padded.rows.tolist() == [*(distinct - 1), *[distinct[0] - 1] * filled]
    assert padded.counts.tolist() == [*counts, *[0] * filled]
    rows = torch.cat([torch.tensor([-1]), padded.rows])
    assert (rows[padded.slots] + 1).tolist() == batch.tolist()


@pytest.mark.parametrize("options", [PAPER, {}], ids=["paper", "default"])
@pytest.mark.parametrize("n_items", [N_ITEMS, 64])
def test_filling_up_changes_nothing(options: dict[str, Any], n_items: int) -> None:
    step, batch = toy_step(**options), torch.from_numpy(windows()[:12])
    expected, n_predictions = step(batch)
    filled = torch.cat([batch, torch.zeros(3, batch.shape[1], dtype=batch.dtype)])
    found = padded_in_batch_loss(step, filled, n_items)
    assert n_predictions < filled[:, 1:].numel()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    ours, theirs = gradients(step, found), gradients(step, expected)
    assert ours.keys() == theirs.keys()
    for name, gradient in theirs.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(ours[name], gradient, atol=1e-5 * scale + 1e-9, rtol=1e-4, msg=name)


def test_a_short_batch_is_filled_up_with_padding() -> None:
    step = toy_step(**PAPER)
    steps = GraphedSteps(step, windows(), batch_size=16, precision="float32")
    batch = np.array([3, 1, 41])
    expected, _ = step(torch.from_numpy(windows()[batch]))
    torch.testing.assert_close(steps(batch), expected.detach(), rtol=1e-5, atol=0)
    kept = {name: one.grad for name, one in step.model.named_parameters() if one.grad is not None}
    for name, gradient in gradients(step, expected).items():
        torch.testing.assert_close(kept[name], gradient, rtol=1e-4, atol=1e-6, msg=name)


def test_what_cannot_be_recorded_is_run_step_by_step_and_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(steps: GraphedSteps, n_items: int) -> None:
        raise RuntimeError(f"operation not permitted when stream is capturing\nwith {n_items} items")

    monkeypatch.setattr(GraphedSteps, "_record", refuse)
    steps = GraphedSteps(toy_step(**PAPER), windows(), batch_size=16, precision="float32")
    expected = [steps(np.arange(start, start + 16)) for start in (0, 16)]
    monkeypatch.setattr(steps, "_records", True)
    assert [steps(np.arange(start, start + 16)) for start in (0, 16)] == expected
    (record,) = caplog.records
    reason = "operation not permitted when stream is capturing"
    assert record.getMessage() == f"steps are launched one by one, since they cannot be recorded ({reason})"


def test_training_by_fixed_shapes_follows_the_same_losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = toy_config(dropout=0.0, item_id_dropout=0.0, max_epochs=2)
    expected = toy_trainer(tmp_path / "distinct", config).fit().history
    monkeypatch.setattr("iisan.training.trainer.can_be_graphed", lambda step, device: True)
    trainer = toy_trainer(tmp_path / "padded", config)
    assert trainer.graphed is not None
    assert [one["loss"] for one in trainer.fit().history] == pytest.approx([one["loss"] for one in expected], rel=1e-4)


class DeviceSource:
    """States that are on a device."""

    modalities = {"image": ModalityShape(2, 6), "text": ModalityShape(2, 6)}  # noqa: RUF012
    n_items = N_ITEMS

    def __init__(self, device: str) -> None:
        self.states = {name: torch.randn(N_ITEMS, 2, 6, device=device) for name in self.modalities}

    def gather(self, rows: Tensor) -> dict[str, ItemStates]:
        return {name: ItemStates(list(one[rows].unbind(1))) for name, one in self.states.items()}


@pytest.mark.parametrize("options", [PAPER, {"whiten": "no"}], ids=["paper", "default"])
def test_the_host_never_waits(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor without numbers refuses everything whose outcome the host would have to know."""
    # Such tensors know nothing of autocast.
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    with torch.device("meta"):
        source = DeviceSource("meta")
        model = Recommender(recommender_config(toy_config(**options), source.modalities, N_ITEMS)).train()
        batch = torch.zeros(16, 6, dtype=torch.long)
    step = InBatchStep(model, source, toy_split())
    loss = padded_in_batch_loss(step, batch, 32)
    torch.autograd.backward(loss)
    assert loss.shape == ()
    assert all(parameter.grad is not None for parameter in trained_parameters(model))
    with pytest.raises(NotImplementedError):
        step(batch)  # the step over distinct items must ask how many there are
