"""The training loop: learning, stopping, resuming, and what it leaves behind when it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from iisan.errors import UserError
from iisan.models.recommender import Recommender
from iisan.training.status import Reporters, StepStatus
from iisan.training.trainer import BEST, LAST, METRICS, Trainer, TrainResult
from tests.toy_run import N_ITEMS, toy_config, toy_source, toy_trainer

REPOSITORY = Path(__file__).parents[2]
LOSSES = ["in_batch", "full_softmax", "sampled_softmax"]
# Far beyond what float32 holds after a step or two.
EXPLODING = 1e30


class Recorder:
    def __init__(self) -> None:
        self.steps: list[StepStatus] = []
        self.epochs: list[dict[str, Any]] = []

    def on_step(self, status: StepStatus) -> None:
        self.steps.append(status)

    def on_epoch(self, record: dict[str, Any]) -> None:
        self.epochs.append(record)


class InterruptError(Exception):
    pass


class InterruptAt(Recorder):
    def __init__(self, epoch: int, step: int) -> None:
        super().__init__()
        self.at = (epoch, step)

    def on_step(self, status: StepStatus) -> None:
        super().on_step(status)
        if (status.epoch, status.step) == self.at:
            raise InterruptError


def without_seconds(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in record.items() if "seconds" not in key} for record in history]


def weights(model: Recommender) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_same_weights(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.mark.parametrize("loss", LOSSES)
def test_it_learns(tmp_path: Path, loss: str) -> None:
    config = toy_config(loss=loss, max_epochs=12, dropout=0.0)
    result = toy_trainer(tmp_path, config).fit()
    losses = [record["loss"] for record in result.history]
    assert losses[-1] < 0.6 * losses[0]
    # The next item is the one after the last: 30 items, so chance is a third.
    assert result.metrics["HR@10"] > 0.9


def test_metrics_file_and_reports_have_a_line_an_epoch(tmp_path: Path) -> None:
    recorder, second = Recorder(), Recorder()
    trainer = toy_trainer(tmp_path, toy_config(), Reporters(recorder, second))
    result = trainer.fit()
    lines = [json.loads(line) for line in (tmp_path / METRICS).read_text(encoding="utf-8").splitlines()]
    assert lines == result.history == recorder.epochs == second.epochs
    assert [line["epoch"] for line in lines] == [0, 1, 2]
    assert {"loss", "HR@10", "NDCG@10", "MRR", "seconds", "validation_seconds"} <= set(lines[0])
    assert len(recorder.steps) == 3 * trainer.order.n_batches
    assert recorder.steps[-1].loss == pytest.approx(lines[-1]["loss"])


@pytest.mark.parametrize("loss", LOSSES)
def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path: Path, loss: str) -> None:
    options = {"loss": loss, "checkpoint_seconds": 1e-9, "dropout": 0.3, "side_dropout": 0.2, "optimizer": "adamw"}
    unbroken = toy_trainer(tmp_path / "unbroken", toy_config(**options))
    expected = unbroken.fit()
    broken = tmp_path / "broken"
    command = [sys.executable, "-m", "tests.toy_run", str(broken), "1", "3", json.dumps(options)]
    killed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert killed.returncode == -9, killed.stderr
    assert len((broken / METRICS).read_text(encoding="utf-8").splitlines()) == 1
    recorder = Recorder()
    resumed = toy_trainer(broken, toy_config(**options), recorder)
    result = resumed.fit()
    # The kill came after step 3 of the second epoch, before its checkpoint: the one of step 2 is gone on from.
    assert (recorder.steps[0].epoch, recorder.steps[0].step) == (1, 3)
    assert without_seconds(result.history) == without_seconds(expected.history)
    assert (result.best_epoch, result.metrics) == (expected.best_epoch, expected.metrics)
    assert_same_weights(weights(resumed.model), weights(unbroken.model))
    assert without_seconds(
        [json.loads(line) for line in (broken / METRICS).read_text(encoding="utf-8").splitlines()]
    ) == without_seconds(expected.history)


def test_a_finished_run_returns_at_once(tmp_path: Path) -> None:
    first = toy_trainer(tmp_path, toy_config())
    expected = first.fit()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    recorder = Recorder()
    again = toy_trainer(tmp_path, toy_config(), recorder)
    result = again.fit()
    assert recorder.steps == []
    assert result == expected
    assert_same_weights(weights(again.model), weights(first.model))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_no_temporary_file_is_left_by_an_interruption(tmp_path: Path) -> None:
    with pytest.raises(InterruptError):
        toy_trainer(tmp_path, toy_config(checkpoint_seconds=1e-9), InterruptAt(1, 2)).fit()
    assert {path.name for path in tmp_path.iterdir()} == {LAST, BEST, METRICS}


class ExplodeAt(Recorder):
    """Sets a learning rate at which the next step leaves float32, and looks at the checkpoint after that step."""

    def __init__(self, epoch: int, step: int) -> None:
        super().__init__()
        self.at = (epoch, step)
        self.trainer: Trainer | None = None
        self.checkpoint = b""

    def on_step(self, status: StepStatus) -> None:
        assert self.trainer is not None
        if (status.epoch, status.step) == self.at:
            for group in self.trainer.optimizer.param_groups:
                group["lr"] = 1e40
        if (status.epoch, status.step - 1) == self.at:
            self.checkpoint = (self.trainer.folder / LAST).read_bytes()


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_divergence_is_one_error_and_leaves_the_last_checkpoint(tmp_path: Path, similarity: str) -> None:
    config = toy_config(similarity=similarity, checkpoint_seconds=1e-9)
    explode = ExplodeAt(1, 2)
    explode.trainer = toy_trainer(tmp_path, config, explode)
    # The loss of the step is still finite; what it made of the weights is not.
    with pytest.raises(UserError, match=r"a weight is no longer.*epoch 2, about step 3.*lower the learning rates"):
        explode.trainer.fit()
    assert (tmp_path / LAST).read_bytes() == explode.checkpoint
    recorder = Recorder()
    result = toy_trainer(tmp_path, config, recorder).fit()
    assert (recorder.steps[0].epoch, recorder.steps[0].step) == (1, 3)
    assert len(result.history) == 3


@pytest.mark.parametrize("loss", LOSSES)
def test_a_huge_learning_rate_is_one_clear_error(tmp_path: Path, loss: str) -> None:
    config = toy_config(loss=loss, similarity="dot", learning_rate=EXPLODING, clip_norm=None, max_epochs=5)
    with pytest.raises(UserError, match="lower the learning rates"):
        toy_trainer(tmp_path, config).fit()
    assert not (tmp_path / LAST).exists()


def test_states_and_whitening_stay_as_they_are(tmp_path: Path) -> None:
    trainer = toy_trainer(tmp_path, toy_config(weight_decay=0.1))
    buffers = {name: value.clone() for name, value in trainer.model.named_buffers()}
    parameters = {name: value.detach().clone() for name, value in trainer.model.named_parameters()}
    states = trainer.step.source.gather(torch.arange(N_ITEMS))
    before = {name: [tap.clone() for tap in state.taps] for name, state in states.items()}
    trainer.fit()
    assert len(buffers) == 4
    for name, value in trainer.model.named_buffers():
        assert torch.equal(value, buffers[name]), name
    after = trainer.step.source.gather(torch.arange(N_ITEMS))
    for name, taps in before.items():
        assert all(torch.equal(one, other) for one, other in zip(taps, after[name].taps, strict=True))
    # All else has moved, but for what a ReLU hides: a constant tap is whitened to zero, and this bias starts there.
    unmoved = [name for name, value in trainer.model.named_parameters() if torch.equal(value, parameters[name])]
    assert unmoved == ["item_encoder.intra.text.blocks.0.down.bias"]


def test_only_the_side_network_has_its_own_learning_rate(tmp_path: Path) -> None:
    trainer = toy_trainer(tmp_path, toy_config(learning_rate=0.5, side_learning_rate=0.25, weight_decay=0.125))
    rates, decays = {}, {}
    for group in trainer.optimizer.param_groups:
        for parameter in group["params"]:
            rates[id(parameter)], decays[id(parameter)] = group["lr"], group["weight_decay"]
    names = {id(parameter): name for name, parameter in trainer.model.named_parameters()}
    assert rates.keys() == names.keys()
    side = {name for key, name in names.items() if rates[key] == 0.25}
    assert side == {name for name in names.values() if name.startswith(("item_encoder.intra.", "item_encoder.inter."))}
    assert {"item_encoder.intra.text.blocks.0.down.weight", "item_encoder.inter.gate.logits"} <= side
    assert all(rates[key] == 0.5 for key, name in names.items() if name not in side)
    shapes = {name: parameter.shape for name, parameter in trainer.model.named_parameters()}
    for key, name in names.items():
        assert decays[key] == (0.125 if sum(size > 1 for size in shapes[name]) > 1 else 0.0), name


def test_gradients_are_clipped_to_the_norm(tmp_path: Path) -> None:
    def first_step(folder: str, clip_norm: float | None) -> dict[str, Tensor]:
        trainer = toy_trainer(tmp_path / folder, toy_config(clip_norm=clip_norm, dropout=0.0))
        trainer.model.train()
        trainer._train_on(next(trainer.order.batches(0)))
        return {name: value.grad for name, value in trainer.model.named_parameters() if value.grad is not None}

    def norm(gradients: dict[str, Tensor]) -> float:
        return float(torch.cat([value.reshape(-1) for value in gradients.values()]).norm())

    free = first_step("free", None)
    limit = norm(free) / 4
    clipped = first_step("clipped", limit)
    assert norm(clipped) == pytest.approx(limit, rel=1e-4)
    for name, value in free.items():
        torch.testing.assert_close(clipped[name], value / 4, rtol=1e-3, atol=1e-6)
    loose = first_step("loose", 2 * norm(free))
    assert_same_weights(loose, free)


def test_early_stop_keeps_the_best_weights(tmp_path: Path) -> None:
    scores = [0.1, 0.5, 0.4, 0.3, 0.9]
    seen: list[dict[str, Tensor]] = []

    def validate(model: Recommender) -> dict[str, float]:
        seen.append(weights(model))
        return {"NDCG@10": scores[len(seen) - 1]}

    trainer = toy_trainer(tmp_path, toy_config(max_epochs=5, patience=2))
    trainer.validate = validate
    result = trainer.fit()
    assert (len(result.history), result.best_epoch, result.metrics) == (4, 1, {"NDCG@10": 0.5})
    assert_same_weights(weights(trainer.model), seen[1])
    assert not trainer.model.training


def test_patience_is_remembered_over_a_restart(tmp_path: Path) -> None:
    def run(scores: list[float], reporter: Recorder | None = None) -> tuple[Trainer, TrainResult]:
        trainer = toy_trainer(tmp_path, toy_config(max_epochs=9, patience=3), reporter)
        left = iter(scores)
        trainer.validate = lambda model: {"NDCG@10": next(left)}
        return trainer, trainer.fit()

    with pytest.raises(InterruptError):
        run([0.5, 0.4, 0.3], InterruptAt(2, 1))
    _, result = run([0.2, 0.1])
    assert [record["NDCG@10"] for record in result.history] == [0.5, 0.4, 0.2, 0.1]
    assert result.best_epoch == 0


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "other model", "no facts"])
def test_a_damaged_checkpoint_is_one_error(tmp_path: Path, damage: str) -> None:
    with pytest.raises(InterruptError):
        toy_trainer(tmp_path, toy_config(checkpoint_seconds=1e-9), InterruptAt(1, 2)).fit()
    path = tmp_path / LAST
    content = path.read_bytes()
    options: dict[str, Any] = {}
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("not a checkpoint at all")
    elif damage == "no facts":
        path.write_bytes(content.replace(b'"facts"', b'"fakts"'))
    else:
        options = {"dim": 32}
    with pytest.raises(UserError, match=r"last\.safetensors.*(damaged|does not fit).*--overwrite"):
        toy_trainer(tmp_path, toy_config(**options)).fit()


def test_a_newer_checkpoint_is_one_error(tmp_path: Path) -> None:
    toy_trainer(tmp_path, toy_config(max_epochs=1)).fit()
    path = tmp_path / LAST
    path.write_bytes(path.read_bytes().replace(b'\\"format_version\\": 1', b'\\"format_version\\": 9'))
    with pytest.raises(UserError, match=r"checkpoint format 9 is not known.*upgrade"):
        toy_trainer(tmp_path, toy_config(max_epochs=1)).fit()


def test_a_full_disk_is_one_error_and_keeps_the_older_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InterruptError):
        toy_trainer(tmp_path, toy_config(checkpoint_seconds=1e-9), InterruptAt(0, 2)).fit()
    before = (tmp_path / LAST).read_bytes()

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("iisan.training.checkpoint.save_tensors", full)
    with pytest.raises(UserError, match=r"cannot be written.*No space left"):
        toy_trainer(tmp_path, toy_config(checkpoint_seconds=1e-9)).fit()
    assert (tmp_path / LAST).read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {LAST, METRICS}


def test_training_needs_a_user_with_two_training_items(tmp_path: Path) -> None:
    import numpy as np

    from iisan.data.interactions import Interactions
    from iisan.data.leave_one_out import leave_one_out

    log = Interactions(np.repeat(np.arange(3), 3), np.arange(9) % 5, None, None, n_users=3, n_items=5)
    config = toy_config(min_interactions=3)
    model = toy_trainer(tmp_path, config).model
    with pytest.raises(UserError, match="no user has two training items"):
        Trainer(model, toy_source(), leave_one_out(log, min_interactions=3), config, tmp_path, lambda model: {})


@pytest.mark.parametrize("loss", LOSSES)
def test_bfloat16_products_learn_as_float32_ones_do(tmp_path: Path, loss: str) -> None:
    losses = {}
    for precision in ("float32", "bfloat16"):
        config = toy_config(loss=loss, precision=precision, max_epochs=3, dropout=0.0, item_id_dropout=0.0)
        losses[precision] = [record["loss"] for record in toy_trainer(tmp_path / precision, config).fit().history]
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.05)
