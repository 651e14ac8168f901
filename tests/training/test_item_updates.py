"""Moving the own vectors of a batch's items only: against Adam over the whole table, and through a kill."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from iisan.training import item_updates
from iisan.training.batch_adam import BETA, BatchAdam
from iisan.training.clip import clip_gradients
from iisan.training.row_average import RowAverage
from iisan.training.weight_average import WeightAverage
from tests.toy_run import toy_config, toy_trainer

REPOSITORY = Path(__file__).parents[2]


def gradients(table: nn.Embedding, rows: list[int], targets: Tensor) -> None:
    """Leaves gradients in some rows of the table, as a loss would."""
    table.weight.grad = None
    (table(torch.tensor(rows)) * targets).sum().backward()
    if table.weight.grad.is_sparse:
        table.weight.grad = table.weight.grad.coalesce()


def make_table(seed: int = 0) -> nn.Embedding:
    torch.manual_seed(seed)
    return nn.Embedding(6, 4)


def test_equals_adam_without_momentum_over_the_whole_table() -> None:
    ours, theirs = make_table(), make_table()
    adam = BatchAdam(ours, learning_rate=0.01)
    whole = torch.optim.Adam(theirs.parameters(), lr=0.01, betas=(0.0, BETA))
    generator = torch.Generator().manual_seed(1)
    for step in range(300):
        rows = [0, 0, 3] if step % 7 else [5, 1]
        numbers = torch.randn(len(rows), 4, generator=generator)
        gradients(ours, rows, numbers)
        gradients(theirs, rows, numbers)
        adam.step()
        whole.step()
    torch.testing.assert_close(ours.weight, theirs.weight, rtol=1e-4, atol=1e-5)
    assert torch.equal(ours.weight[[2, 4]], make_table().weight[[2, 4]])


def test_one_gradient_moves_a_vector_as_far_as_adam_does_in_the_end() -> None:
    ours, theirs = make_table(), make_table()
    adam, whole = BatchAdam(ours, learning_rate=0.01), torch.optim.AdamW(theirs.parameters(), lr=0.01, weight_decay=0.0)
    start = ours.weight.detach().clone()
    numbers = torch.tensor([[1.0, -2.0, 0.5, 3.0]])
    for step in range(3000):  # both are long past their start when row 2 comes
        gradients(ours, [2] if step == 2000 else [0], numbers)
        gradients(theirs, [2] if step == 2000 else [0], numbers)
        adam.step()
        whole.step()
    moved, moved_by_adam = ours.weight[2] - start[2], theirs.weight[2] - start[2]
    assert moved.abs().min() > 0.1
    torch.testing.assert_close(moved, moved_by_adam, rtol=0.02, atol=0.0)


def test_weight_decay_comes_with_a_move() -> None:
    table = make_table()
    before = table.weight.detach().clone()
    adam = BatchAdam(table, learning_rate=0.5, weight_decay=0.25)
    gradients(table, [1], torch.zeros(1, 4))
    adam.step()
    torch.testing.assert_close(table.weight[1], before[1] * (1 - 0.5 * 0.25))
    assert torch.equal(table.weight[2:], before[2:])


def test_rows_are_averaged_as_if_at_every_step() -> None:
    table = make_table()
    table.sparse = True
    model = nn.ModuleDict({"table": table, "other": nn.Linear(2, 2)})
    ours, plain = WeightAverage(model, 0.9, table.weight), WeightAverage(model, 0.9)
    assert isinstance(ours.rows, RowAverage)
    generator = torch.Generator().manual_seed(2)
    for step in range(200):
        rows = sorted({step % 2, 3 if step % 50 == 0 else 0})
        gradients(table, rows, torch.ones(len(rows), 4))
        ours.before_step()
        with torch.no_grad():
            table.weight[rows] += torch.randn(len(rows), 4, generator=generator)
            model["other"].weight.add_(1.0)
        ours.update()
        plain.update()
    expected = dict(zip(plain.names, plain.values, strict=True))
    torch.testing.assert_close(ours.rows.current(), expected["table.weight"], rtol=1e-4, atol=1e-5)
    trained = {name: value.clone() for name, value in model.state_dict().items()}
    with ours.applied():
        for name, value in model.state_dict().items():
            torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, trained[name]) for name, value in model.state_dict().items())


def test_sparse_gradients_are_clipped_with_the_others() -> None:
    def clipped(sparse: bool) -> list[Tensor]:
        table, other = make_table(), nn.Linear(3, 1)
        table.sparse = sparse
        gradients(table, [1, 1, 4], torch.arange(12.0).reshape(3, 4))
        other.weight.grad, other.bias.grad = torch.full((1, 3), 5.0), None
        parameters = [table.weight, *other.parameters()]
        if sparse:
            clip_gradients(parameters, 2.0)
        else:
            torch.nn.utils.clip_grad_norm_(parameters, 2.0)
        return [parameter.grad.to_dense() for parameter in parameters if parameter.grad is not None]

    for ours, theirs in zip(clipped(True), clipped(False), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert float(torch.cat([one.flatten() for one in clipped(True)]).norm()) == pytest.approx(2.0, rel=1e-4)


@pytest.mark.parametrize("method", ["iisan", "id"])
def test_it_learns(tmp_path: Path, method: str) -> None:
    config = toy_config(method=method, item_updates="batch", max_epochs=12, dropout=0.0)
    trainer = toy_trainer(tmp_path, config)
    assert trainer.items is not None
    result = trainer.fit()
    assert result.history[-1]["loss"] < 0.6 * result.history[0]["loss"]
    assert result.metrics["HR@10"] > 0.9


def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    options: dict[str, Any] = {"checkpoint_seconds": 1e-9, "item_updates": "batch", "weight_decay": 0.1}
    unbroken = toy_trainer(tmp_path / "unbroken", toy_config(**options))
    expected = unbroken.fit()
    broken = tmp_path / "broken"
    command = [sys.executable, "-m", "tests.toy_run", str(broken), "1", "3", json.dumps(options)]
    killed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert killed.returncode == -9, killed.stderr
    resumed = toy_trainer(broken, toy_config(**options))
    result = resumed.fit()
    for ours, theirs in zip(result.history, expected.history, strict=True):
        assert {k: v for k, v in ours.items() if "seconds" not in k} == {
            k: v for k, v in theirs.items() if "seconds" not in k
        }
    for name, value in unbroken.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


@pytest.mark.parametrize(
    ("options", "limit", "by_batch"),
    [
        ({}, 30, False),
        ({}, 29, True),
        ({"item_updates": "all"}, 29, False),
        ({"item_updates": "batch"}, 30, True),
        ({"loss": "full_softmax"}, 29, False),
        ({"loss": "sampled_softmax", "negatives": 4}, 29, True),
        ({"item_ids": False}, 29, False),
    ],
)
def test_auto_goes_by_the_size_of_the_catalogue_and_says_so(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    options: dict[str, Any],
    limit: int,
    by_batch: bool,
) -> None:
    monkeypatch.setattr(item_updates, "MOST_ITEMS", limit)
    caplog.set_level(logging.INFO, "iisan")
    trainer = toy_trainer(tmp_path, toy_config(**options))
    assert (trainer.items is not None) == by_batch
    assert ("30 items are more than 29" in caplog.text) == (by_batch and "item_updates" not in options)
