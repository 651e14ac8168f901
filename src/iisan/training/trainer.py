"""The training loop: resumable, stopped early, one checkpoint for the best and one for the last state."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from iisan.data.epoch_order import EpochOrder, with_next
from iisan.data.split import Split
from iisan.data.windows import training_windows
from iisan.errors import UserError, unwritable
from iisan.models.recommender import Recommender
from iisan.states.atomic import replacing
from iisan.states.phases import PhaseObserver, Unobserved
from iisan.states.sources import ReadsAhead, StateSource
from iisan.training.checkpoint import Position, load_best, load_checkpoint, save_checkpoint, save_weights
from iisan.training.clip import clip_gradients
from iisan.training.config import TrainConfig
from iisan.training.device import forward_precision, memory_in_use
from iisan.training.early_stop import EarlyStop
from iisan.training.fixed_steps import FixedSteps, can_be_recorded, takes_fixed_shapes
from iisan.training.item_updates import batch_updates
from iisan.training.losses.choose import chosen_loss
from iisan.training.optimizer import build_optimizer
from iisan.training.sampled_step import SampledSoftmaxStep
from iisan.training.status import Reporter, Reporters, StepStatus
from iisan.training.step import FullSoftmaxStep, InBatchStep
from iisan.training.trained_state import trained_parameters
from iisan.training.weight_average import WeightAverage

LAST = "last.safetensors"
BEST = "best.safetensors"
METRICS = "metrics.jsonl"
# How many losses stay on a CUDA device before the host waits for them.
LOSSES_IN_FLIGHT = 50

Validate = Callable[[Recommender], dict[str, float]]


@dataclass(frozen=True)
class TrainResult:
    """How training went.

    Attributes:
        history: One record an epoch: ``epoch``, ``loss``, the validation metrics, ``seconds``.
        best_epoch: The epoch whose weights the model now has.
        metrics: The validation metrics of that epoch.
    """

    history: list[dict[str, Any]]
    best_epoch: int
    metrics: dict[str, float]


class Trainer:
    """Trains a recommender on the training part of a split.

    An interrupted run goes on exactly where its last checkpoint was: same order, same dropout, same losses.

    Args:
        model: With fresh weights, on its device.
        source: Hidden states by catalogue row, on the same device.
        split: Histories.
        config: Hyper-parameters.
        folder: Where checkpoints and ``metrics.jsonl`` go; what is there of the same run is continued.
        validate: Gives the validation metrics; ``config.metric`` must be among them.
        reporter: Is told of steps and epochs.
        observer: Is told of the phases of each step.
        encoder_rates: Learning rate of each encoder that is tuned with the model, by modality.
    """

    def __init__(
        self,
        model: Recommender,
        source: StateSource,
        split: Split,
        config: TrainConfig,
        folder: Path,
        validate: Validate,
        reporter: Reporter | None = None,
        observer: PhaseObserver | None = None,
        encoder_rates: Mapping[str, float] | None = None,
    ) -> None:
        self.model = model
        self.config = config
        self.folder = folder
        self.validate = validate
        self.reporter: Reporter = reporter or Reporters()
        self.observer: PhaseObserver = observer or Unobserved()
        windows = training_windows(split, config.max_length)
        if not len(windows):
            raise UserError("no user has two training items to learn from", how="bring a larger log")
        self.windows = torch.from_numpy(windows).to(model.device)  # [W, L + 1]
        self.lengths = (windows > 0).sum(axis=1)  # [W]
        self.order = EpochOrder(len(windows), config.batch_size, config.seed)
        loss = chosen_loss(config, len(split.train_candidates))
        self.step: InBatchStep | FullSoftmaxStep | SampledSoftmaxStep
        if loss == "full_softmax":
            self.step = FullSoftmaxStep(model, source, split, config.encode_chunk, self.observer)
        elif loss == "sampled_softmax":
            self.step = SampledSoftmaxStep(model, source, split, config.negatives, self.observer)
        else:
            self.step = InBatchStep(model, source, split, self.observer)
        self.items = batch_updates(model, config, loss)
        self.fixed: FixedSteps | None = None
        if takes_fixed_shapes(self.step, model.device):
            records = can_be_recorded(self.step, sparse=self.items is not None)
            self.fixed = FixedSteps(
                self.step, windows, config.batch_size, config.precision, seed=config.seed, records=records
            )
        table = None if self.items is None else self.items.weight
        self.optimizer = build_optimizer(model, config, apart=table, encoder_rates=encoder_rates)
        self.average = None if config.average_decay is None else WeightAverage(model, config.average_decay, table)
        self.stop = EarlyStop(config.patience)
        self.history: list[dict[str, Any]] = []
        self.position = Position()

    def fit(self) -> TrainResult:
        """Trains until the metric stops improving, and leaves the best weights in the model.

        Raises:
            UserError: The loss is not a number, or a checkpoint in the folder does not fit.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(self.config.seed)
        if (self.folder / LAST).exists():
            self._resume()
        while self.position.epoch < self.config.max_epochs and not self.stop.exhausted and self._steps_left():
            self._epoch()
        facts = load_best(self.folder / BEST, self.model)
        self.model.eval()
        return TrainResult(self.history, facts["epoch"], facts["metrics"])

    def _resume(self) -> None:
        self.position, facts = load_checkpoint(self.folder / LAST, self.model, self.optimizer, self.average, self.items)
        self.history = facts["history"]
        self.stop = EarlyStop(self.config.patience, **facts["stop"])
        self._write_metrics()

    def _epoch(self) -> None:
        self.model.train()
        try:
            self._steps()
        finally:
            if self.fixed is not None:
                self.fixed.forget()
        self._refuse_divergence()
        with nullcontext() if self.average is None else self.average.applied():
            record = self._validate()
        self.history.append(record)
        self.position = Position(epoch=self.position.epoch + 1)
        self._save()
        self._write_metrics()
        self.reporter.on_epoch(record)

    def _validate(self) -> dict[str, Any]:
        """Measures the weights in the model, keeps them if they are the best, and gives the epoch's record."""
        position = self.position
        started = time.monotonic()
        metrics = self._validation_metrics()
        if self.stop.improved(position.epoch, metrics[self.config.metric]):
            save_weights(self.folder / BEST, self.model, {"epoch": position.epoch, "metrics": metrics})
        return {
            "epoch": position.epoch,
            "loss": position.loss_sum / position.predictions,
            "steps": position.step,
            **metrics,
            "seconds": round(position.seconds, 3),
            "validation_seconds": round(time.monotonic() - started, 3),
        }

    def _steps(self) -> None:
        saved = ticked = time.monotonic()
        waiting: list[tuple[Tensor, int]] = []
        for batch, following in with_next(self.order.batches(self.position.epoch, self.position.step)):
            if following is not None:
                self._expect(following)
            waiting.append(self._train_on(batch))
            self.position.step += 1
            last = self.position.step == self.order.n_batches
            last = last or not self._steps_left()
            if last or self.model.device.type == "cpu" or len(waiting) == LOSSES_IN_FLIGHT:
                self._account(waiting)
                waiting = []
                now = time.monotonic()
                self.position.seconds += now - ticked
                ticked = now
                self.reporter.on_step(self._status())
                if last:
                    return
                if now - saved > self.config.checkpoint_seconds and not last:
                    self._refuse_divergence()
                    self._save()
                    saved = ticked = time.monotonic()

    def _expect(self, batch: np.ndarray[Any, np.dtype[np.int64]]) -> None:
        """Has the next step's states read while this one is computed, where they come from a disk."""
        if self.fixed is not None:
            self.fixed.expect(batch, (self.position.epoch, self.position.step + 1))
            return
        if isinstance(self.step, InBatchStep) and isinstance(self.step.source, ReadsAhead):
            numbers = torch.unique(self.windows[torch.from_numpy(batch).to(self.windows.device)])
            self.step.source.expect(numbers[numbers > 0].long() - 1)

    def _steps_left(self) -> bool:
        limit = self.config.max_steps
        return limit is None or self.position.epoch * self.order.n_batches + self.position.step < limit

    def _train_on(self, batch: np.ndarray[Any, np.dtype[np.int64]]) -> tuple[Tensor, int]:
        if self.fixed is not None:
            with self.observer.phase("forward"):  # and backward, in one piece
                loss, predictions = self.fixed(batch, (self.position.epoch, self.position.step))
            with self.observer.phase("update"):
                self._update()
            return loss, predictions
        # Histories are right-aligned: columns that are padding for all of them cost time and change nothing.
        longest = int(self.lengths[batch].max())
        windows = self.windows[torch.from_numpy(batch).to(self.windows.device), -longest:]
        with forward_precision(self.config.precision, self.model.device):
            loss, predictions = self.step(windows)
        with self.observer.phase("backward"):
            self.model.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
        with self.observer.phase("update"):
            self._update()
        return loss.detach(), predictions

    def _update(self) -> None:
        if self.items is not None:
            self.items.collect()
        if self.config.clip_norm is not None:
            clip_gradients(trained_parameters(self.model), self.config.clip_norm)
        if self.average is not None:
            self.average.before_step()
        self.optimizer.step()
        if self.items is not None:
            self.items.step()
        if self.average is not None:
            self.average.update()

    def _account(self, waiting: list[tuple[Tensor, int]]) -> None:
        values = torch.stack([loss for loss, _ in waiting]).tolist()
        for value, (_, predictions) in zip(values, waiting, strict=True):
            if not math.isfinite(value):
                raise self._diverged(f"the loss became {value}")
            self.position.loss_sum += value * predictions
            self.position.predictions += predictions

    def _validation_metrics(self) -> dict[str, float]:
        try:
            return self.validate(self.model)
        except ValueError as error:
            raise self._diverged(f"validation failed ({error})") from error

    def _refuse_divergence(self) -> None:
        """A loss may be finite and the step after it not: such weights must not become a checkpoint."""
        if not all(bool(parameter.isfinite().all()) for parameter in trained_parameters(self.model)):
            raise self._diverged("a weight is no longer a finite number")

    def _diverged(self, what: str) -> UserError:
        return UserError(
            f"{what} in epoch {self.position.epoch + 1}, about step {self.position.step}",
            where=str(self.folder),
            how="lower the learning rates or clip the gradients (--clip-norm 1), and train into a new folder",
        )

    def _status(self) -> StepStatus:
        position = self.position
        return StepStatus(
            position.epoch,
            position.step,
            self.order.n_batches,
            position.loss_sum / position.predictions,
            memory_in_use(self.model.device),
        )

    def _save(self) -> None:
        stop = {"best": self.stop.best, "best_epoch": self.stop.best_epoch, "since": self.stop.since}
        extra = {"history": self.history, "stop": stop}
        path = self.folder / LAST
        save_checkpoint(path, self.model, self.optimizer, self.average, self.position, extra, self.items)

    def _write_metrics(self) -> None:
        path = self.folder / METRICS
        try:
            with replacing(path) as temporary:
                temporary.write_text("".join(json.dumps(record) + "\n" for record in self.history), encoding="utf-8")
        except OSError as error:
            raise unwritable(path, error, what="the metrics", stays="the same command then goes on") from error
