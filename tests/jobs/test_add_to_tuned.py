"""Items added to a model whose encoders were tuned go through these, and not through the pretrained ones."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from iisan.data.dataset import Dataset
from iisan.errors import UserError
from iisan.jobs.add_items import AddItemsJob, AddItemsOutcome, add_items
from iisan.jobs.encode import modality_contents
from iisan.jobs.train import TrainJob, TrainOutcome, train_recommender
from iisan.models.recommender import Recommender
from iisan.training.config import TrainConfig
from tests.conftest import NO_CONTENT, TINY, TinyModels

METHODS = ["full", "adapter", "lora", "bitfit", "peft:ia3"]


@pytest.fixture
def tuned(tiny_dataset: Dataset, tiny_models: TinyModels, tmp_path: Path) -> Callable[[str], TrainOutcome]:
    def train(method: str) -> TrainOutcome:
        # A rate at which the encoders move so far that the pretrained ones would give visibly other numbers.
        config = TrainConfig.preset("default", **{**TINY, "encoder_learning_rate": 1e-2, "method": method})
        places = (f"text={tiny_models.text}", f"image={tiny_models.image}")
        return train_recommender(TrainJob(dataset=tiny_dataset.path, run=tmp_path / "run", encoder=places), config)

    return train


@pytest.fixture
def copies(tiny_dataset: Dataset, tmp_path: Path) -> Path:
    """A table of new items with just the content of the catalogue's."""
    titles = modality_contents(tiny_dataset, "text")
    images = modality_contents(tiny_dataset, "image")
    path = tmp_path / "new" / "items.csv"
    path.parent.mkdir()
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["item_id", "title", "image"])
        for row, item_id in enumerate(tiny_dataset.item_ids):
            image = images[row]
            name = "" if image is None else shutil.copy(image, path.parent / f"{row}{Path(image).suffix}").name
            writer.writerow([f"copy of {item_id}", titles[row] or "", name])
    return path


def added(tuned: TrainOutcome, items: Path, models: TinyModels, **options: Path) -> AddItemsOutcome:
    places = (f"text={models.text}", f"image={models.image}")
    return add_items(
        AddItemsJob(model=tuned.folder, items=items, encoder=places, device="cpu", on_empty="skip", **options)  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_copy_of_an_item_is_embedded_as_the_trained_model_embeds_it(
    tuned: Callable[[str], TrainOutcome], copies: Path, tiny_models: TinyModels, tiny_dataset: Dataset, method: str
) -> None:
    outcome = tuned(method)
    result = added(outcome, copies, tiny_models)
    assert (result.added, result.empty) == (tiny_dataset.n_items - len(NO_CONTENT), len(NO_CONTENT))
    table = Recommender.from_pretrained(outcome.folder).table
    rows = [(table.row(one), table.row(f"copy of {one}")) for one in tiny_dataset.item_ids]
    pairs = torch.tensor([pair for pair in rows if None not in pair])
    assert len(pairs) == result.added
    # The catalogue was embedded in other batches, so rounding differs.
    torch.testing.assert_close(table.embeddings[pairs[:, 1]], table.embeddings[pairs[:, 0]], atol=1e-4, rtol=1e-4)


def test_without_what_training_changed_nothing_is_added(
    tuned: Callable[[str], TrainOutcome], copies: Path, tiny_models: TinyModels
) -> None:
    outcome = tuned("bitfit")
    before = len(Recommender.from_pretrained(outcome.folder).table)
    shutil.rmtree(outcome.folder / "encoders" / "image")
    with pytest.raises(UserError, match="tuned weights cannot be read"):
        added(outcome, copies, tiny_models)
    assert len(Recommender.from_pretrained(outcome.folder).table) == before


def test_stored_states_of_the_pretrained_encoders_are_refused(
    tuned: Callable[[str], TrainOutcome], copies: Path, tiny_models: TinyModels, tiny_dataset: Dataset
) -> None:
    with pytest.raises(UserError, match="leave --states out"):
        added(tuned("bitfit"), copies, tiny_models, states=tiny_dataset.path / "states")
