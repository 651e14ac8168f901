"""A training run on random states that learns: users walk through the catalogue, item after item.

As a program it trains until it is told to and then kills itself, as a power cut would:
``python -m tests.toy_run FOLDER EPOCH STEP OPTIONS``, options as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from iisan.data.interactions import Interactions
from iisan.data.leave_one_out import leave_one_out
from iisan.data.split import Split
from iisan.jobs.train import Validation, recommender_config
from iisan.models.recommender import Recommender
from iisan.training.config import TrainConfig
from iisan.training.status import Reporter, StepStatus
from iisan.training.trainer import Trainer
from tests.random_source import RandomSource

N_ITEMS, N_USERS = 30, 60
OPTIONS: dict[str, Any] = {
    "dim": 16,
    "bottleneck": 8,
    "n_layers": 1,
    "max_length": 5,
    "batch_size": 16,
    "max_epochs": 3,
    "learning_rate": 0.01,
    "side_learning_rate": 0.01,
    "device": "cpu",
}


def toy_config(**options: Any) -> TrainConfig:
    return TrainConfig.preset("default", **{**OPTIONS, **options})


def toy_source() -> RandomSource:
    return RandomSource(
        {"image": (2, 6), "text": (3, 8)}, N_ITEMS, missing={"image": [4, 9]}, constant={"text": [0]}, seed=1
    )


def toy_split() -> Split:
    user = np.repeat(np.arange(N_USERS), 8)
    item = (np.arange(N_USERS)[:, None] * 7 + np.arange(8)) % N_ITEMS
    return leave_one_out(Interactions(user, item.reshape(-1), None, None, n_users=N_USERS, n_items=N_ITEMS))


def toy_trainer(folder: Path, config: TrainConfig, reporter: Reporter | None = None) -> Trainer:
    source, split = toy_source(), toy_split()
    torch.manual_seed(config.seed)
    model = Recommender(recommender_config(config, source.modalities, N_ITEMS))
    model.fit_whitening(source)
    prepared = model.prepared(source)
    return Trainer(model, prepared, split, config, folder, Validation(prepared, split, config), reporter)


class KillAt:
    """Kills this process after a step: no handler runs, nothing is flushed."""

    def __init__(self, epoch: int, step: int) -> None:
        self.at = (epoch, step)

    def on_step(self, status: StepStatus) -> None:
        if (status.epoch, status.step) == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_epoch(self, record: dict[str, Any]) -> None:
        pass


if __name__ == "__main__":
    torch.set_num_threads(1)
    to, epoch, step, options = sys.argv[1:]
    toy_trainer(Path(to), toy_config(**json.loads(options)), KillAt(int(epoch), int(step))).fit()
