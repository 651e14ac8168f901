"""A step in fixed shapes gives the numbers of the step over the distinct items, and never asks the device anything."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from iisan.data.windows import training_windows
from iisan.errors import UserError
from iisan.jobs.train import Validation, recommender_config
from iisan.models.recommender import Recommender
from iisan.states.pinned_transfer import Sent
from iisan.states.prefetched_source import PrefetchedSource
from iisan.states.sources import ItemStates, ModalityShape
from iisan.training import batch_adam, row_gradient
from iisan.training.batch_items import BatchItems
from iisan.training.fixed_steps import FixedSteps, can_be_recorded
from iisan.training.padded_step import Step, assembled, padded_loss
from iisan.training.sampled_step import SampledSoftmaxStep
from iisan.training.status import StepStatus
from iisan.training.step import FullSoftmaxStep, InBatchStep
from iisan.training.trained_state import trained_parameters
from iisan.training.trainer import Trainer
from tests.toy_run import N_ITEMS, toy_config, toy_source, toy_split, toy_trainer

PAPER: dict[str, Any] = {"similarity": "dot", "whiten": "no", "item_ids": False}
KINDS = ["in_batch", "full_softmax", "sampled_softmax"]
EXACT: dict[str, Any] = {"dropout": 0.0, "item_id_dropout": 0.0}
N_DRAWS = 40


def toy_step(kind: str, **options: Any) -> Step:
    config = toy_config(**EXACT, **options)
    torch.manual_seed(0)
    source, split = toy_source(), toy_split()
    model = Recommender(recommender_config(config, source.modalities, N_ITEMS))
    model.fit_whitening(source)
    prepared = model.prepared(source)
    if kind == "full_softmax":
        return FullSoftmaxStep(model, prepared, split, chunk=7)
    if kind == "sampled_softmax":
        return SampledSoftmaxStep(model, prepared, split, N_DRAWS)
    return InBatchStep(model, prepared, split)


def fixed(step: Step) -> FixedSteps:
    return FixedSteps(step, windows(), 16, "float32", seed=3, records=False)


def windows() -> np.ndarray[Any, Any]:
    return training_windows(toy_split(), 5)


def loss_of(step: Step, batch: Tensor, draws: Tensor | None, monkeypatch: pytest.MonkeyPatch) -> tuple[Tensor, int]:
    """By the step over the distinct items, with given draws."""
    if isinstance(step, SampledSoftmaxStep):
        monkeypatch.setattr(step.negatives, "draw", lambda generator=None: draws)
    return step(batch)


def gradients(step: Step, loss: Tensor) -> dict[str, Tensor]:
    step.model.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    return {name: one.grad.clone() for name, one in step.model.named_parameters() if one.grad is not None}


def assert_same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, gradient in theirs.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(ours[name], gradient, atol=1e-5 * scale + 1e-9, rtol=1e-5, msg=name)


@pytest.mark.parametrize("n", [7, 20, 60])
def test_the_distinct_items_come_first(n: int) -> None:
    rng = np.random.default_rng(n)
    batch = np.where(rng.random((6, 6)) < 0.4, 0, rng.choice([2, 3, 5, 8, 13, 21, 34], (6, 6)))
    padded = BatchItems.of(torch.from_numpy(batch)).filled(n, 8)
    distinct, counts = np.unique(batch[batch > 0], return_counts=True)
    filled = n - len(distinct)
    assert padded.rows.tolist() == [*(distinct - 1), *[distinct[0] - 1] * filled]
    assert padded.counts.tolist() == [*counts, *[0] * filled]
    rows = torch.cat([torch.tensor([-1]), padded.rows])
    assert (rows[padded.slots] + 1).tolist() == [*batch.tolist(), [0] * 6, [0] * 6]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [PAPER, {}], ids=["paper", "default"])
@pytest.mark.parametrize("more", [0, 34])
def test_filling_up_changes_nothing(
    kind: str, options: dict[str, Any], more: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, batch = toy_step(kind, **options), torch.from_numpy(windows()[:12])
    draws = torch.randint(N_ITEMS, (N_DRAWS,), generator=torch.Generator().manual_seed(1))
    expected, n_predictions = loss_of(step, batch, draws, monkeypatch)
    items = assembled(step, batch, seed=0)
    filled = items.filled(len(items.rows) + (more if len(items.rows) else 0), 15)
    found = padded_loss(step, filled)
    assert int(filled.predicted.sum()) == n_predictions < filled.inputs.numel()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    assert_same(gradients(step, found), gradients(step, expected))


@pytest.mark.parametrize("kind", KINDS)
def test_a_short_batch_is_filled_up_with_padding(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    step, batch = toy_step(kind, **PAPER), np.array([3, 1, 41])
    draws = torch.arange(N_DRAWS) % N_ITEMS
    expected, n_predictions = loss_of(step, torch.from_numpy(windows()[batch]), draws, monkeypatch)
    loss, predictions = fixed(step)(batch, (0, 0))
    assert predictions == n_predictions
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-5, atol=0)
    kept = {name: one.grad.clone() for name, one in step.model.named_parameters() if one.grad is not None}
    assert_same(kept, gradients(step, expected))


def test_what_is_drawn_goes_by_seed_and_place_alone() -> None:
    step, batch = toy_step("sampled_softmax", **PAPER), np.arange(16)
    first, _ = fixed(step)(batch, (1, 2))
    torch.rand(5)
    again, _ = fixed(step)(batch, (1, 2))
    other, _ = fixed(step)(batch, (2, 1))
    assert again == first != other


def test_what_cannot_be_recorded_is_run_step_by_step_and_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(steps: FixedSteps, items: BatchItems) -> None:
        raise RuntimeError(f"operation not permitted when stream is capturing\nwith {len(items.rows)} items")

    monkeypatch.setattr(FixedSteps, "_record", refuse)
    steps = fixed(toy_step("in_batch", **PAPER))
    expected = [steps(np.arange(start, start + 16), (0, start)) for start in (0, 16)]
    steps.records = True
    assert [steps(np.arange(start, start + 16), (0, start)) for start in (0, 16)] == expected
    (record,) = caplog.records
    reason = "operation not permitted when stream is capturing"
    assert record.getMessage() == f"steps are launched one by one, since they cannot be recorded ({reason})"


@pytest.mark.parametrize(
    ("kind", "options", "sparse", "resident", "recorded"),
    [
        ("in_batch", {}, False, True, True),
        ("in_batch", {}, False, False, False),
        ("sampled_softmax", {}, True, True, False),
        ("full_softmax", {"whiten": "no"}, False, True, True),
        ("full_softmax", {"side_dropout": 0.1}, False, True, False),
    ],
)
def test_what_is_recorded(
    kind: str, options: dict[str, Any], sparse: bool, resident: bool, recorded: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "iisan")
    step = toy_step(kind, **{**PAPER, **options})
    step.source = DeviceSource("cpu")
    step.source.resident = resident
    assert can_be_recorded(step, sparse=sparse) == recorded
    assert ("not as CUDA graphs" in caplog.text) == (not recorded)


@pytest.mark.parametrize(("loss", "updates"), [("in_batch", "all"), ("in_batch", "batch"), ("full_softmax", "all")])
def test_training_by_fixed_shapes_follows_the_same_losses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: str, updates: str
) -> None:
    config = toy_config(**EXACT, max_epochs=2, loss=loss, item_updates=updates)
    expected = toy_trainer(tmp_path / "distinct", config).fit().history
    monkeypatch.setattr("iisan.training.trainer.takes_fixed_shapes", lambda step, device: True)
    monkeypatch.setattr("iisan.training.trainer.can_be_recorded", lambda step, sparse: False)
    monkeypatch.setattr(batch_adam, "summed_by_row", row_gradient._fixed_shape_sum)
    monkeypatch.setattr(batch_adam, "of_each_row", row_gradient._first_repeated)
    trainer = toy_trainer(tmp_path / "fixed", config)
    assert trainer.fixed is not None
    assert [one["loss"] for one in trainer.fit().history] == pytest.approx([one["loss"] for one in expected], rel=1e-4)


def test_a_run_by_fixed_shapes_draws_again_what_it_drew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iisan.training.trainer.takes_fixed_shapes", lambda step, device: True)
    monkeypatch.setattr("iisan.training.trainer.can_be_recorded", lambda step, sparse: False)

    def losses(folder: str, epochs: int) -> list[float]:
        config = toy_config(max_epochs=epochs, loss="sampled_softmax", negatives=N_DRAWS)
        return [one["loss"] for one in toy_trainer(tmp_path / folder, config).fit().history]

    whole = losses("whole", 3)
    losses("parts", 1)
    assert losses("parts", 3) == whole


def test_a_gradient_summed_in_fixed_shapes() -> None:
    table = torch.nn.Embedding(9, 3, sparse=True)
    (table(torch.tensor([7, 2, 2, 5, 7, 2])) * torch.arange(18.0).view(6, 3)).sum().backward()
    gradient = table.weight.grad
    assert gradient is not None
    summed = row_gradient._fixed_shape_sum(gradient)
    assert summed.indices().tolist() == [[2, 5, 7, 2, 2, 2]]
    assert summed.is_coalesced()
    distinct = gradient.coalesce()
    assert torch.equal(summed.values()[:3], distinct.values())
    assert not summed.values()[3:].any()


class AtOnce:
    """A way to a device that is no way at all."""

    def room(self, size: int) -> Tensor:
        return torch.empty(size, dtype=torch.uint8)

    def send(self, tensors: Sequence[Tensor]) -> Sent:
        return Sent([one.clone() for one in tensors], self)

    def receive(self, sent: Sent) -> list[Tensor]:
        return sent.tensors

    def synchronize(self) -> None:
        pass


def prefetching_trainer(folder: Path, loss: str, damaged: int | None = None) -> tuple[Trainer, list[list[int]]]:
    """One whose states are fetched by a thread, and what it fetches; a gather may fail."""
    config, source, split = (
        toy_config(**EXACT, whiten="no", max_epochs=2, loss=loss, negatives=N_DRAWS),
        toy_source(),
        toy_split(),
    )
    fetched: list[list[int]] = []
    gather = source.gather

    def noted(rows: Tensor) -> dict[str, ItemStates]:
        fetched.append(rows.tolist())
        if len(fetched) == damaged:
            raise UserError("the store is damaged")
        return gather(rows)

    source.gather = noted  # type: ignore[method-assign]
    torch.manual_seed(config.seed)
    model = Recommender(recommender_config(config, source.modalities, N_ITEMS))
    prefetched = PrefetchedSource(source, AtOnce())
    return Trainer(model, prefetched, split, config, folder, Validation(prefetched, split, config)), fetched


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("prefetch")]


@pytest.mark.parametrize("loss", KINDS)
def test_training_from_a_source_that_prefetches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: str) -> None:
    monkeypatch.setattr("iisan.training.trainer.takes_fixed_shapes", lambda step, device: True)
    config = toy_config(**EXACT, whiten="no", max_epochs=2, loss=loss, negatives=N_DRAWS)
    monkeypatch.setattr("iisan.training.trainer.can_be_recorded", lambda step, sparse: False)
    expected = toy_trainer(tmp_path / "resident", config).fit().history
    trainer, fetched = prefetching_trainer(tmp_path / "prefetched", loss)
    found = trainer.fit().history
    assert [one["loss"] for one in found] == pytest.approx([one["loss"] for one in expected], rel=1e-5)
    assert threads() == []
    if loss != "full_softmax":  # each step and each validation is read once: what was expected was what came
        assert len(fetched) == 2 * (trainer.order.n_batches + 1)


@pytest.mark.parametrize("damaged", [1, 3])
def test_an_error_of_the_source_ends_training_and_the_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: int
) -> None:
    monkeypatch.setattr("iisan.training.trainer.takes_fixed_shapes", lambda step, device: True)
    trainer, _ = prefetching_trainer(tmp_path, "in_batch", damaged)
    with pytest.raises(UserError, match="the store is damaged"):
        trainer.fit()
    assert threads() == []


def test_an_interruption_ends_the_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        def on_step(self, status: StepStatus) -> None:
            assert threads()
            raise KeyboardInterrupt

        def on_epoch(self, record: dict[str, Any]) -> None:
            pass

    monkeypatch.setattr("iisan.training.trainer.takes_fixed_shapes", lambda step, device: True)
    trainer, _ = prefetching_trainer(tmp_path, "in_batch")
    trainer.reporter = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    assert threads() == []


class DeviceSource:
    """States that are on a device."""

    resident = True
    modalities = {"image": ModalityShape(2, 6), "text": ModalityShape(2, 6)}  # noqa: RUF012
    n_items = N_ITEMS

    def __init__(self, device: str) -> None:
        self.states = {name: torch.randn(N_ITEMS, 2, 6, device=device) for name in self.modalities}

    def gather(self, rows: Tensor) -> dict[str, ItemStates]:
        return {name: ItemStates(list(one[rows].unbind(1))) for name, one in self.states.items()}


@pytest.fixture
def without_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors on `meta` refuse everything whose outcome the host would have to know."""
    # Such tensors know nothing of autocast, and the fused optimiser has no list with them.
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())

    monkeypatch.setattr(sys.modules["torch.optim.adam"], "_device_dtype_check_for_fused", lambda *_, **__: None)


@pytest.mark.usefixtures("without_numbers")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [PAPER, {"whiten": "no"}, {"whiten": "no", "item_updates": "batch"}])
def test_the_host_never_waits(kind: str, options: dict[str, Any], tmp_path: Path) -> None:
    """Forward, backward, clipping, averages and optimiser."""
    config = toy_config(**options, loss=kind, negatives=N_DRAWS, encode_chunk=7)
    with torch.device("meta"):
        source = DeviceSource("meta")
        model = Recommender(recommender_config(config, source.modalities, N_ITEMS)).train()
    trainer = Trainer(model, source, toy_split(), config, tmp_path, lambda model: {})
    assert trainer.fixed is None
    trainer.fixed = FixedSteps(trainer.step, windows(), config.batch_size, "float32", seed=0, records=False)
    for number, batch in enumerate([*trainer.order.batches(0)][:3]):
        trainer.position.step = number
        loss, _ = trainer._train_on(batch)
        assert loss.device.type == "meta"
        assert loss.shape == ()
    assert all(parameter.grad is not None for parameter in trained_parameters(model))
    with pytest.raises(NotImplementedError):  # the step over distinct items must ask how many there are
        trainer.step(torch.zeros(16, 6, dtype=torch.long, device="meta"))
