"""The verbs that take long, each as a piece of work that can be begun afresh, broken off, looked at and compared."""

from __future__ import annotations

import csv
import json
import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from safetensors.torch import load_file

from iisan.data.dataset import Dataset
from iisan.models.recommender import Recommender
from iisan.states.verify import verify_store
from iisan.training.trainer import BEST, LAST, METRICS
from tests.conftest import N_ITEMS, N_USERS, NO_CONTENT, TINY, TinyModels
from tests.reliability.fork_server import ITEMS_AT_ONCE

# A checkpoint after every step, and some steps to be broken off between.
TRAIN = {**TINY, "batch_size": 8, "max_epochs": 2, "checkpoint_seconds": 1e-9}


@dataclass(frozen=True)
class Inputs:
    """What the works start from; not to be written to.

    Attributes:
        tables: Folder of ``items.csv``, ``interactions.csv`` and pictures.
        models: Encoders.
        bare: Dataset that is not encoded.
        encoded: The same, encoded.
        model: Trained on it.
    """

    tables: Path
    models: TinyModels
    bare: Path
    encoded: Path
    model: Path


class Work(ABC):
    """One verb on small inputs."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs

    def prepare(self, folder: Path) -> None:
        """Puts into an empty folder what the verb needs there, if anything."""
        assert not any(folder.iterdir())

    @abstractmethod
    def words(self, folder: Path) -> list[object]:
        """The command."""

    def result(self, folder: Path) -> dict[str, bytes]:
        """What must come out the same: every file, by its path."""
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def is_done(self, folder: Path) -> bool:
        """Whether a run that was broken off had done everything, and the same command says that it is there."""
        return False

    @abstractmethod
    def check_sound(self, folder: Path) -> None:
        """What must hold at any moment."""

    def tables(self) -> list[object]:
        """Options of an import."""
        folder = self.inputs.tables
        tables = ["--items", folder / "items.csv", "--interactions", folder / "interactions.csv"]
        return [*tables, "--image-column", "image"]


class Import(Work):
    """A dataset where there is none: it is there whole or not at all."""

    def words(self, folder: Path) -> list[object]:
        return ["import", "delimited", folder / "ds", *self.tables()]

    def result(self, folder: Path) -> dict[str, bytes]:
        # A kill after the last rename leaves the lock, an empty file, until a dataset is written there again.
        return {path: content for path, content in super().result(folder).items() if path != ".ds.lock"}

    def is_done(self, folder: Path) -> bool:
        return (folder / "ds").exists()

    def check_sound(self, folder: Path) -> None:
        if (folder / "ds").exists():
            Dataset.open(folder / "ds").verify()


class ImportOver(Work):
    """A dataset in place of an older one, which stays until the new one is complete."""

    def prepare(self, folder: Path) -> None:
        shutil.copytree(self.inputs.bare, folder / "ds")

    def words(self, folder: Path) -> list[object]:
        return ["import", "delimited", folder / "ds", *self.tables(), "--overwrite", "--name", "new"]

    def check_sound(self, folder: Path) -> None:
        # Absent for the instant between two renames; the older one is then beside it, and the next import finds it.
        place = folder / "ds" if (folder / "ds").exists() else folder / ".ds.old"
        dataset = Dataset.open(place)
        dataset.verify()
        assert dataset.name in ("tiny", "new")


class Encode(Work):
    """Two stores of several shards each: what was committed is sound."""

    def prepare(self, folder: Path) -> None:
        shutil.copytree(self.inputs.bare, folder / "ds")

    def words(self, folder: Path) -> list[object]:
        models = self.inputs.models
        encoders = ["--text-model", models.text, "--image-model", models.image]
        return ["encode", folder / "ds", *encoders, "--batch-size", 4, "--device", "cpu"]

    def check_sound(self, folder: Path) -> None:
        Dataset.open(folder / "ds").verify()
        for manifest in (folder / "ds").glob("states/*/manifest.json"):
            report = verify_store(manifest.parent)
            assert report.ok, report.problems


class Train(Work):
    """A run with a checkpoint after every step: it goes on where the last one was."""

    def words(self, folder: Path) -> list[object]:
        options = [word for name, value in TRAIN.items() for word in (f"--{name.replace('_', '-')}", value)]
        return ["train", self.inputs.encoded, folder / "run", *options]

    def result(self, folder: Path) -> dict[str, bytes]:
        files = super().result(folder)
        # Both hold seconds besides what must be the same: losses and metrics, and weights, which BEST holds too.
        lines = [json.loads(line) for line in files[f"run/{METRICS}"].splitlines()]
        kept = [{key: value for key, value in line.items() if "seconds" not in key} for line in lines]
        return {**files, f"run/{METRICS}": json.dumps(kept).encode(), f"run/{LAST}": b""}

    def check_sound(self, folder: Path) -> None:
        if (folder / "run" / "model").exists():
            model = Recommender.from_pretrained(folder / "run" / "model")
            assert model.recommend([["i0", "i1"]], k=1)
        for name in (LAST, BEST):
            if (folder / "run" / name).exists():
                assert load_file(folder / "run" / name)
        if (folder / "run" / METRICS).exists():
            for line in (folder / "run" / METRICS).read_text().splitlines():
                assert json.loads(line)


class AddItems(Work):
    """New items for a trained model, committed a few at a time."""

    def prepare(self, folder: Path) -> None:
        shutil.copytree(self.inputs.model, folder / "model")
        with (self.inputs.tables / "items.csv").open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        with (folder / "new.csv").open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0])
            writer.writeheader()
            writer.writerows({**row, "item_id": f"new {row['item_id']}"} for row in rows)

    def words(self, folder: Path) -> list[object]:
        models = self.inputs.models
        encoders = ["--encoder", f"text={models.text}", "--encoder", f"image={models.image}", "--device", "cpu"]
        empty = ["--on-empty", "skip", "--media-root", self.inputs.tables]
        return ["add-items", folder / "model", folder / "new.csv", *encoders, *empty]

    def result(self, folder: Path) -> dict[str, bytes]:
        return {path: content for path, content in super().result(folder).items() if not path.endswith(".lock")}

    def check_sound(self, folder: Path) -> None:
        model = Recommender.from_pretrained(folder / "model")
        added = len(model.table) - N_ITEMS
        assert added % ITEMS_AT_ONCE == 0 or added == N_ITEMS - len(NO_CONTENT)
        assert model.recommend([[model.table.item_ids[-1]]], k=1)


class Evaluate(Work):
    """A file with the rank of every user's target."""

    def words(self, folder: Path) -> list[object]:
        return ["evaluate", self.inputs.model, self.inputs.encoded, "--ranks", folder / "ranks.parquet"]

    def check_sound(self, folder: Path) -> None:
        if (folder / "ranks.parquet").exists():
            assert len(pq.read_table(folder / "ranks.parquet"))


class Recommend(Work):
    """A file with a list for every user."""

    def words(self, folder: Path) -> list[object]:
        return ["recommend", self.inputs.model, "--dataset", self.inputs.encoded, "--output", folder / "lists.txt"]

    def check_sound(self, folder: Path) -> None:
        if (folder / "lists.txt").exists():
            assert (folder / "lists.txt").read_text(encoding="utf-8").count("after history") == N_USERS


# Those that take long.
WORKS: dict[str, type[Work]] = {
    "import": Import,
    "import over": ImportOver,
    "encode": Encode,
    "train": Train,
    "add-items": AddItems,
}
WORKS_WITH_A_FILE: dict[str, type[Work]] = {"evaluate": Evaluate, "recommend": Recommend}
