"""Training as TensorBoard scalars, read back by TensorBoard's own reader."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from iisan.errors import UserError
from iisan.training.status import StepStatus
from iisan.training.tensorboard import TensorBoard

pytest.importorskip("tensorboard", reason="the extra iisan[tensorboard] is not installed")


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(one.step, one.value) for one in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_steps_and_epochs_come_back(tmp_path: Path) -> None:
    with TensorBoard(tmp_path / "board") as board:
        board.on_step(StepStatus(epoch=0, step=1, n_steps=2, loss=3.0, memory=None))
        board.on_step(StepStatus(epoch=0, step=2, n_steps=2, loss=2.5, memory=2**30))
        board.on_epoch({"epoch": 0, "loss": 2.5, "HR@10": 0.25, "seconds": 1.5})
        board.on_step(StepStatus(epoch=1, step=1, n_steps=2, loss=2.0, memory=2**31))
        board.on_epoch({"epoch": 1, "loss": 2.0, "HR@10": 0.5, "seconds": 1.25})
    assert scalars(tmp_path / "board") == {
        "step/loss": [(1, 3.0), (2, 2.5), (3, 2.0)],
        "step/memory_gib": [(2, 1.0), (3, 2.0)],
        "epoch/loss": [(1, 2.5), (2, 2.0)],
        "epoch/HR@10": [(1, 0.25), (2, 0.5)],
        "epoch/seconds": [(1, 1.5), (2, 1.25)],
    }


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r"tensorboard is not installed.*iisan\[tensorboard\]"):
        TensorBoard(tmp_path / "board")
    assert not (tmp_path / "board").exists()
