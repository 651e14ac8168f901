"""The explanation of a trained model on a dataset: states, pictures and what stands in the way."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from iisan.data.dataset import Dataset
from iisan.errors import UserError
from iisan.jobs.encode import EncodeJob, encode_dataset
from iisan.jobs.explain import ExplainJob, ExplainOutcome, explain_recommendations
from iisan.jobs.explain_report.bars import Bar, bar_rows
from iisan.jobs.explain_report.html_form import as_html
from iisan.jobs.explain_report.json_form import as_json
from iisan.jobs.explain_report.reading import gate_lines
from iisan.jobs.explain_report.thumbnails import thumbnails
from iisan.jobs.import_states import ImportStatesJob, import_dataset_states
from iisan.jobs.train import TrainJob, TrainOutcome, train_recommender
from iisan.training.config import TrainConfig
from tests.conftest import N_ITEMS, NO_PICTURE, NO_TEXT, TINY, TinyModels
from tests.tiny_encoders import bert

HISTORY = "i0 i1,i2"


def explained(trained: TrainOutcome, dataset: Dataset, **options: object) -> ExplainOutcome:
    settings = {"history": HISTORY, "device": "cpu", **options}
    return explain_recommendations(ExplainJob(model=str(trained.folder), dataset=dataset.path, **settings))  # type: ignore[arg-type]


def test_the_top_items_are_taken_apart_by_all_that_the_model_reads(
    trained: TrainOutcome, tiny_dataset: Dataset
) -> None:
    outcome = explained(trained, tiny_dataset, k=4)
    wanted = trained.model.recommend([["i0", "i1", "i2"]], k=4)[0]
    items = outcome.explanation.items
    assert [item.item_id for item in items] == [one.item_id for one in wanted]
    assert outcome.notes == []
    for item, one in zip(items, wanted, strict=True):
        assert item.score == pytest.approx(one.score, rel=1e-4)
        assert item.of_item is not None
        row = int(item.item_id[1:])
        present = {part.name: part.present for part in item.of_item.parts}
        assert present == {"image": row not in NO_PICTURE, "text": row not in NO_TEXT, "own vector": True}
        total = item.of_item.base + sum(part.alone for part in item.of_item.parts) + item.of_item.interplay
        assert total == pytest.approx(item.score, abs=1e-4)
    assert set(outcome.gates) == {"intra", "inter"}
    assert list(outcome.gates["intra"]["text"]) == ["0", "2", "4"]


def test_a_user_of_the_dataset_and_the_dataset_of_the_run(trained: TrainOutcome, tiny_dataset: Dataset) -> None:
    job = ExplainJob(model=str(trained.folder), user="u9", k=1, device="cpu")
    outcome = explain_recommendations(job)
    whole = [f"i{(7 * 9 + step) % 24}" for step in range(9)]
    assert outcome.dataset.path == tiny_dataset.path
    assert outcome.explanation.history == whole[-5:]
    assert outcome.notes == ["the model reads the last 5 items; 4 older ones do not count"]
    with pytest.raises(UserError, match="no user 'nobody'"):
        explained(trained, tiny_dataset, history=None, user="nobody")


def test_named_items_may_be_any_that_the_model_knows(trained: TrainOutcome, tiny_dataset: Dataset) -> None:
    items = explained(trained, tiny_dataset, items="i20, i0 i7").explanation.items
    assert [item.item_id for item in items] == ["i20", "i0", "i7"]
    nothing = items[0].of_item
    assert nothing is not None
    assert [part.present for part in nothing.parts] == [False, False, True]
    with pytest.raises(UserError, match="'ghost' is not in the model's catalogue"):
        explained(trained, tiny_dataset, items="ghost")


def test_unknown_ids_of_a_history_are_passed_over_and_named(trained: TrainOutcome, tiny_dataset: Dataset) -> None:
    outcome = explained(trained, tiny_dataset, history="i0 ghost i1")
    assert outcome.explanation.history == ["i0", "i1"]
    assert outcome.notes == ["history 1: item 'ghost' is not in the model's catalogue, passed over"]
    for history in ("ghost", " , "):
        with pytest.raises(UserError, match="no known item"):
            explained(trained, tiny_dataset, history=history)


@pytest.mark.parametrize(
    ("options", "parts", "gates"),
    [
        ({"method": "frozen"}, ["image", "text"], set()),
        ({"modalities": ["text"], "item_ids": False}, ["text"], {"intra"}),
        ({"towers": "inter", "whiten": "yes", "similarity": "dot"}, ["image", "text", "own vector"], {"inter"}),
    ],
)
def test_other_models(
    tmp_path: Path,
    train_tiny: Callable[..., TrainOutcome],
    tiny_dataset: Dataset,
    options: dict[str, object],
    parts: list[str],
    gates: set[str],
) -> None:
    outcome = explained(train_tiny(tmp_path / "run", **{**options, "max_epochs": 1}), tiny_dataset, k=2)
    for item in outcome.explanation.items:
        assert item.of_item is not None
        assert [part.name for part in item.of_item.parts] == parts
    assert set(outcome.gates) == gates
    assert "<h3>What the item is</h3>" in as_html(outcome)


def test_a_model_that_knows_ids_only_is_explained_by_the_history(
    tmp_path: Path, train_tiny: Callable[..., TrainOutcome], tiny_dataset: Dataset
) -> None:
    outcome = explained(train_tiny(tmp_path / "id", method="id", max_epochs=1), tiny_dataset, k=2)
    assert outcome.notes == ["the model knows items by their ids only, so there are no modalities to leave out"]
    for item in outcome.explanation.items:
        assert item.of_item is None
        assert all(one.drop is not None for one in item.history)
    page = as_html(outcome)
    assert "What the item is" not in page
    assert "What came before" in page
    assert outcome.notes[0] in page


def test_an_encoder_is_of_no_use_where_states_are_stored(trained: TrainOutcome, tiny_dataset: Dataset) -> None:
    with pytest.raises(UserError, match="leave --encoder out"):
        explained(trained, tiny_dataset, encoder=("text=somewhere",))


def test_states_that_the_model_was_not_trained_on(
    tmp_path: Path,
    trained: TrainOutcome,
    bare_dataset: Path,
    encode_job: Callable[..., EncodeJob],
    tiny_models: TinyModels,
) -> None:
    shutil.copytree(bare_dataset, tmp_path / "data")
    dataset = Dataset.open(tmp_path / "data")
    with pytest.raises(UserError, match="states"):
        explained(trained, dataset)
    encode_dataset(
        EncodeJob(dataset=dataset.path, modality="text", text_model=str(bert(tmp_path / "other")), taps="all")
    )
    encode_dataset(encode_job(dataset.path, modality="image"))
    with pytest.raises(UserError, match="made by another encoder"):
        explained(trained, dataset)


def test_pictures_are_scaled_down_and_bad_ones_left_out(
    tmp_path: Path, trained: TrainOutcome, bare_dataset: Path, tiny_dataset: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(bare_dataset, tmp_path / "data")
    dataset = Dataset.open(tmp_path / "data")
    first, second = (path for path in dataset.image_paths("image", [0, 1]) if path is not None)
    first.write_bytes(b"no picture")
    second.unlink()
    found = thumbnails(dataset, ["i0", "i1", "i2", "i3", "elsewhere"])
    assert list(found) == ["i2"]
    assert found["i2"].startswith("data:image/jpeg;base64,")
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    (tmp_path / "outside.png").write_bytes(Path(dataset.image_paths("image", [2])[0] or "").read_bytes())
    second.symlink_to(tmp_path / "outside.png")
    assert list(thumbnails(dataset, ["i1", "i2"])) == ["i2"]


def test_each_picture_is_in_the_page_once(trained: TrainOutcome, tiny_dataset: Dataset) -> None:
    outcome = explained(trained, tiny_dataset, items="i5 i6")
    page = as_html(outcome)
    assert page.count("data:image/jpeg") == 5
    assert page.count('role="img"') == 3 + 2 + 2 * 3


def test_json_has_every_number(trained: TrainOutcome, tiny_dataset: Dataset) -> None:
    outcome = explained(trained, tiny_dataset, k=2)
    data = json.loads(as_json(outcome))
    assert data["version"] == 1
    assert data["gates"] == outcome.gates
    for item, one in zip(data["items"], outcome.explanation.items, strict=True):
        assert one.of_item is not None
        assert item["score"] == one.score
        assert item["of_item"]["interplay"] == one.of_item.interplay
        assert [part["shapley"] for part in item["of_item"]["parts"]] == [part.shapley for part in one.of_item.parts]
        assert [each["drop"] for each in item["history"]] == [each.drop for each in one.history]


def test_gates_of_encoders_of_other_depth_line_up_at_the_last_layer() -> None:
    lines = gate_lines({"image": {"0": 0.1, "2": 0.2, "4": 0.3}, "text": {"2": 0.4, "6": 0.5}})
    assert lines == [["layer", "0", "2", "4/6"], ["image", "0.10", "0.20", "0.30"], ["text", "", "0.40", "0.50"]]


@pytest.mark.parametrize("options", [{}, {"history": "i0", "user": "u1"}, {"history": "i0", "k": 0}])
def test_one_history_and_at_least_one_item(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"give either history or user|greater than or equal to 1"):
        ExplainJob(model="m", **options)  # type: ignore[arg-type]


def test_bars_share_a_zero_and_a_length() -> None:
    rows = bar_rows([Bar("a", 3.0, "3", "", "ink"), Bar("b", -1.0, "-1", "<", "ink")])
    assert re.findall(r"left:([\d.]+)%;width:([\d.]+)%", rows) == [("25.00", "75.00"), ("0.00", "25.00")]
    assert rows.count('class="zero" style="left:25.00%"') == 2
    assert "<small>&lt;</small>" in rows
    one = bar_rows([Bar("a", 1.0, "1", "", "ink")], [Bar("b", -3.0, "-3", "", "ink")])
    assert "left:75.00%;width:25.00%" in one
    assert "width:0.00%" in bar_rows([Bar("a", 0.0, "0", "", "ink")])


def test_imported_states_are_taken_apart_like_encoded_ones(tmp_path: Path, tiny_dataset: Dataset) -> None:
    ids = [f"i{row}" for row in range(0, N_ITEMS, 2)]
    np.save(tmp_path / "vectors.npy", np.random.default_rng(0).standard_normal((len(ids), 5)).astype(np.float32))
    (tmp_path / "ids.json").write_text(json.dumps(ids))
    dataset = shutil.copytree(tiny_dataset.path, tmp_path / "data")
    import_dataset_states(
        ImportStatesJob(
            dataset=dataset,
            modality="sound",
            states=[tmp_path / "vectors.npy"],
            ids=[tmp_path / "ids.json"],
            encoder_name="mine",
        )
    )
    config = TrainConfig.preset("default", **{**TINY, "max_epochs": 1})
    trained = train_recommender(TrainJob(dataset=dataset, run=tmp_path / "run"), config)
    for item in explained(trained, Dataset.open(dataset), items="i4 i5").explanation.items:
        assert item.of_item is not None
        sound = item.of_item.parts[1]
        assert (sound.name, sound.present) == ("sound", int(item.item_id[1:]) % 2 == 0)
        assert (sound.alone != 0) == sound.present
