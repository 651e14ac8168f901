"""A tiny real dataset, encoded by tiny real encoders, and a model trained on it, shared by the tests."""

from __future__ import annotations

import csv
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from iisan.data.dataset import Dataset
from iisan.data.importers.delimited import DelimitedImport, import_delimited
from iisan.jobs.encode import EncodeJob, encode_dataset
from iisan.jobs.train import TrainJob, TrainOutcome, train_recommender
from iisan.training.config import TrainConfig
from tests.tiny_encoders import bert, pictures, texts, vit

torch.set_num_threads(1)
# Started in the background by some shells, this process ignores Ctrl-C, and so would the programs that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

N_ITEMS = 24
N_USERS = 40
NO_PICTURE = {3, 11, 20}
NO_TEXT = {7, 20}
# Item 20 has neither.
NO_CONTENT = NO_PICTURE & NO_TEXT
# A model that trains in a moment.
TINY = {
    "dim": 16,
    "bottleneck": 8,
    "n_layers": 1,
    "n_heads": 2,
    "max_length": 5,
    "batch_size": 16,
    "max_epochs": 3,
    "patience": 3,
    "learning_rate": 0.01,
    "side_learning_rate": 0.01,
    "device": "cpu",
}


@dataclass(frozen=True)
class TinyModels:
    text: Path
    image: Path


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> TinyModels:
    """Folders of a small BERT and a small ViT with random weights: 5 hidden states of width 16 each."""
    root = tmp_path_factory.mktemp("tiny-models")
    return TinyModels(bert(root / "bert"), vit(root / "vit"))


@pytest.fixture(scope="session")
def tiny_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """items.csv, interactions.csv and pictures: each user walks through the catalogue, item after item."""
    folder = tmp_path_factory.mktemp("tiny-tables")
    files = pictures(folder / "pictures", N_ITEMS, seed=5)
    titles = texts(N_ITEMS, seed=5)
    with (folder / "items.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["item_id", "title", "image"])
        for row in range(N_ITEMS):
            image = "" if row in NO_PICTURE else str(files[row].relative_to(folder))
            writer.writerow([f"i{row}", "" if row in NO_TEXT else titles[row], image])
    with (folder / "interactions.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["user_id", "item_id", "timestamp"])
        for user in range(N_USERS):
            for step in range(5 + user % 5):
                writer.writerow([f"u{user}", f"i{(7 * user + step) % N_ITEMS}", step])
    return folder


@pytest.fixture(scope="session")
def bare_dataset(tiny_tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny dataset, imported and not encoded; not to be written to."""
    output = tmp_path_factory.mktemp("bare") / "tiny"
    config = DelimitedImport(
        items=tiny_tables / "items.csv", interactions=tiny_tables / "interactions.csv", image_column="image"
    )
    import_delimited(config, output)
    return output


@pytest.fixture(scope="session")
def encode_job(tiny_models: TinyModels) -> Callable[..., EncodeJob]:
    def make(dataset: Path, **options: object) -> EncodeJob:
        return EncodeJob(
            dataset=dataset,
            text_model=str(tiny_models.text),
            image_model=str(tiny_models.image),
            device="cpu",
            **options,  # type: ignore[arg-type]
        )

    return make


@pytest.fixture(scope="session")
def tiny_dataset(
    bare_dataset: Path, encode_job: Callable[..., EncodeJob], tmp_path_factory: pytest.TempPathFactory
) -> Dataset:
    """The tiny dataset with its states in float32; not to be written to."""
    folder = tmp_path_factory.mktemp("encoded") / "tiny"
    shutil.copytree(bare_dataset, folder)
    encode_dataset(encode_job(folder, store_dtype="float32"))
    return Dataset.open(folder)


@pytest.fixture(scope="session")
def train_tiny(tiny_dataset: Dataset) -> Callable[..., TrainOutcome]:
    """Trains a tiny model on the tiny dataset into a folder."""

    def train(run: Path, **options: object) -> TrainOutcome:
        config = TrainConfig.preset("default", **{**TINY, **options})
        return train_recommender(TrainJob(dataset=tiny_dataset.path, run=run), config)

    return train


@pytest.fixture(scope="session")
def trained(train_tiny: Callable[..., TrainOutcome], tmp_path_factory: pytest.TempPathFactory) -> TrainOutcome:
    """A finished run with the default preset's choices; not to be written to."""
    return train_tiny(tmp_path_factory.mktemp("trained") / "run")
