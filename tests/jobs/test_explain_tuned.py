"""Explanations of models whose encoders were tuned: these encoders give the states."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from iisan.data.dataset import Dataset
from iisan.errors import UserError
from iisan.jobs.add_items import AddItemsJob, add_items
from iisan.jobs.explain import ExplainJob, ExplainOutcome, explain_recommendations
from iisan.jobs.explain_report.html_form import as_html
from iisan.jobs.explanation_basis import ExplanationBasis
from iisan.jobs.train import TrainJob, TrainOutcome, train_recommender
from iisan.models.recommender import Recommender
from iisan.training.config import TrainConfig
from tests.conftest import NO_PICTURE, NO_TEXT, TINY, TinyModels

HISTORY = ["i0", "i1", "i2"]
ITEMS = ["i8", "i9"]


@pytest.fixture
def tuned(tiny_dataset: Dataset, tiny_models: TinyModels, tmp_path: Path) -> Callable[[str], TrainOutcome]:
    def train(method: str) -> TrainOutcome:
        # A rate at which the encoders move so far that the pretrained ones would give visibly other numbers.
        config = TrainConfig.preset("default", **{**TINY, "encoder_learning_rate": 1e-2, "method": method})
        job = TrainJob(dataset=tiny_dataset.path, run=tmp_path / "run", encoder=places(tiny_models))
        return train_recommender(job, config)

    return train


def places(models: TinyModels) -> tuple[str, ...]:
    return f"text={models.text}", f"image={models.image}"


def explained(tuned: TrainOutcome, models: TinyModels, **options: object) -> ExplainOutcome:
    settings = {"history": " ".join(HISTORY), "device": "cpu", "encoder": places(models), **options}
    return explain_recommendations(ExplainJob(model=str(tuned.folder), **settings))  # type: ignore[arg-type]


def with_parts_as_items(folder: Path, dataset: Dataset, models: TinyModels, place: Path) -> Path:
    """A copy of the model with further items: the text alone and the picture alone of each of `ITEMS`."""
    model = shutil.copytree(folder, place / "model")
    with (place / "parts.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["item_id", "title", "image"])
        for item_id, row in zip(ITEMS, dataset.rows_of(ITEMS).tolist(), strict=True):
            picture = dataset.image_paths("image", [row])[0]
            assert picture is not None
            writer.writerow([f"text of {item_id}", dataset.texts("text")[row], ""])
            writer.writerow([f"image of {item_id}", "", shutil.copy(picture, place / f"{row}.png").name])
    add_items(AddItemsJob(model=model, items=place / "parts.csv", encoder=places(models), device="cpu"))
    return model


@pytest.mark.parametrize("method", ["full", "adapter", "lora", "bitfit", "peft:ia3"])
def test_shares_are_those_of_items_with_one_modality_only(
    tuned: Callable[[str], TrainOutcome], tiny_models: TinyModels, tiny_dataset: Dataset, tmp_path: Path, method: str
) -> None:
    assert not {int(one[1:]) for one in ITEMS} & {*NO_PICTURE, *NO_TEXT}
    outcome = tuned(method)
    found = explained(outcome, tiny_models, items=" ".join(ITEMS))
    assert found.notes == []
    assert found.gates == {}
    model = Recommender.from_pretrained(with_parts_as_items(outcome.folder, tiny_dataset, tiny_models, tmp_path))
    scores = model.score([model.known_rows(HISTORY)])[0]

    def score(item_id: str) -> float:
        row = model.table.row(item_id)
        assert row is not None
        return float(scores[row])

    for item in found.explanation.items:
        assert item.score == pytest.approx(score(item.item_id), abs=1e-3)
        assert item.of_item is not None
        parts = {part.name: part for part in item.of_item.parts}
        assert {name: part.present for name, part in parts.items()} == {"image": True, "text": True}
        for name, other in (("image", "text"), ("text", "image")):
            alone = score(f"{name} of {item.item_id}")
            assert item.of_item.base + parts[name].alone == pytest.approx(alone, abs=1e-3)
            assert parts[other].without == pytest.approx(alone, abs=1e-3)
        assert abs(parts["image"].alone - parts["text"].alone) > 1e-2
    assert "What the item is" in as_html(found)


def test_the_states_are_those_that_the_catalogue_was_embedded_from(
    tuned: Callable[[str], TrainOutcome], tiny_models: TinyModels, tiny_dataset: Dataset
) -> None:
    found = explained(tuned("bitfit"), tiny_models, items=" ".join(tiny_dataset.item_ids))
    assert found.explanation.unknown_content == []
    assert len(found.explanation.items) == tiny_dataset.n_items


def test_an_item_that_the_dataset_lacks_is_taken_whole(
    tuned: Callable[[str], TrainOutcome], tiny_models: TinyModels, tmp_path: Path
) -> None:
    outcome = tuned("bitfit")
    (tmp_path / "items.csv").write_text("item_id,title,image\nnew,a steel whale,\n", encoding="utf-8")
    job = AddItemsJob(model=outcome.folder, items=tmp_path / "items.csv", encoder=places(tiny_models), device="cpu")
    add_items(job)
    found = explained(outcome, tiny_models, items="new i8")
    new, old = found.explanation.items
    assert new.of_item is None
    assert old.of_item is not None
    assert found.notes == [
        "the dataset does not hold the content that the model knows 'new' by (1 of the items at hand), so they are "
        "taken whole"
    ]


def test_where_no_encoder_may_be_run_the_history_is_explained(
    tuned: Callable[[str], TrainOutcome], tiny_models: TinyModels, tiny_dataset: Dataset
) -> None:
    outcome = tuned("bitfit")
    recommender = Recommender.from_pretrained(outcome.folder)
    basis = ExplanationBasis.open(recommender, outcome.folder, tiny_dataset.path / "states")
    found = basis.explain(recommender, HISTORY, ["i8"])
    assert found.explanation.items[0].of_item is None
    assert "method bitfit" in found.notes[0]
    assert "`iisan explain` runs the tuned encoders" in found.notes[0]


def test_what_the_tuned_encoders_need_is_asked_for(
    tuned: Callable[[str], TrainOutcome], tiny_models: TinyModels, tiny_dataset: Dataset
) -> None:
    outcome = tuned("bitfit")
    with pytest.raises(UserError, match="leave --states out"):
        explained(outcome, tiny_models, states=tiny_dataset.path / "states")
    with pytest.raises(UserError, match="no modality 'sound'"):
        explained(outcome, tiny_models, encoder=(*places(tiny_models), "sound=x"))
    shutil.rmtree(outcome.folder / "encoders" / "image")
    with pytest.raises(UserError, match="tuned weights cannot be read"):
        explained(outcome, tiny_models)
