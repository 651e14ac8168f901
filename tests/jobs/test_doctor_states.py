"""The doctor's look at hidden-state stores."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from iisan.data.dataset import Dataset
from iisan.data.doctor.options import DoctorOptions
from iisan.jobs.doctor import DoctorJob, examine_dataset
from iisan.jobs.import_states import ImportStatesJob, import_dataset_states
from tests.conftest import N_ITEMS, NO_PICTURE, NO_TEXT
from tests.sound_shop import set_values

CHECKS = ("unreadable_store", "unfinished_store", "missing_states", "stale_states", "states_of_unknown_items")


@pytest.fixture
def encoded(tiny_dataset: Dataset, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_dataset.path, tmp_path / "tiny"))


def counts(folder: Path, modality: str, states: Path | None = None) -> list[int]:
    report = examine_dataset(DoctorJob(dataset=folder, states=states))
    return [report.named(check, modality).count for check in CHECKS]


@pytest.mark.parametrize("check_media", ["header", "full"])
def test_a_complete_store_is_fine(encoded: Path, check_media: str) -> None:
    options = DoctorOptions.model_validate({"check_media": check_media})
    report = examine_dataset(DoctorJob(dataset=encoded), options)
    assert report.ok
    for modality, lacking in (("text", NO_TEXT), ("image", NO_PICTURE)):
        assert counts(encoded, modality) == [0, 0, 0, 0, 0]
        assert report.named("missing_states", modality).total == N_ITEMS - len(lacking)
        assert "mean, taps 0,2,4, float32" in report.named("missing_states", modality).what


def test_a_dataset_that_is_not_encoded_has_no_finding_about_stores(bare_dataset: Path) -> None:
    report = examine_dataset(DoctorJob(dataset=bare_dataset))
    assert not {one.check for one in report.findings} & {*CHECKS, "missing_store"}


def test_changed_content_makes_states_stale(encoded: Path) -> None:
    first, second, *_ = Dataset.open(encoded).image_paths("image")
    assert first is not None
    assert second is not None
    shutil.copy(first, second)
    set_values(encoded, "items.parquet", "text", {0: "another text", 1: None, 7: "a text where none was"})
    assert counts(encoded, "text") == [0, 0, 1, 2, 0]
    report = examine_dataset(DoctorJob(dataset=encoded), DoctorOptions(check_media="full"))
    assert not report.ok
    assert report.named("stale_states", "text").examples == ("i0", "i1")
    assert report.named("missing_states", "text").examples == ("i7",)
    # The picture was changed behind the listing's back.
    assert report.named("changed_pictures", "image").examples[0].startswith("i1: ")
    assert report.named("stale_states", "image").examples == ("i1",)


def test_items_under_other_ids(encoded: Path) -> None:
    set_values(encoded, "items.parquet", "item_id", {0: "new"})
    assert counts(encoded, "text") == [0, 0, 1, 0, 1]


def test_a_store_that_is_missing_or_damaged(encoded: Path, tmp_path: Path) -> None:
    states = Path(shutil.copytree(encoded / "states", tmp_path / "elsewhere"))
    shutil.rmtree(encoded / "states" / "text")
    report = examine_dataset(DoctorJob(dataset=encoded))
    assert (report.ok, report.named("missing_store", "text").count) == (True, N_ITEMS - len(NO_TEXT))
    assert counts(encoded, "text", states) == [0, 0, 0, 0, 0]
    (states / "text" / "manifest.json").write_text("{")
    report = examine_dataset(DoctorJob(dataset=encoded, states=states))
    assert report.named("unreadable_store", "text").severity == "error"
    assert not report.ok


def test_stores_are_looked_at_beside_other_faults(encoded: Path) -> None:
    (encoded / "interactions.parquet").unlink()
    report = examine_dataset(DoctorJob(dataset=encoded))
    assert report.named("missing_tables").count == 1
    assert report.named("missing_states", "text").severity == "ok"


def test_a_store_whose_run_was_interrupted(encoded: Path) -> None:
    path = encoded / "states" / "image" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "unfinished": True}))
    assert counts(encoded, "image") == [0, 1, 0, 0, 0]
    assert not examine_dataset(DoctorJob(dataset=encoded)).ok


def test_imported_states_may_lack_items_and_have_no_content(encoded: Path, tmp_path: Path) -> None:
    rows = [row for row in range(N_ITEMS) if row not in NO_TEXT and row != 5]
    np.save(tmp_path / "states.npy", np.random.default_rng(0).normal(size=(len(rows), 2, 6)).astype(np.float32))
    (tmp_path / "states.txt").write_text("".join(f"i{row}\n" for row in rows))
    shutil.rmtree(encoded / "states" / "text")
    for modality in ("text", "sound"):
        import_dataset_states(
            ImportStatesJob(
                dataset=encoded,
                modality=modality,
                states=[tmp_path / "states.npy"],
                encoder_name="mine",
                on_missing="skip",
            )
        )
    report = examine_dataset(DoctorJob(dataset=encoded))
    assert report.ok
    text, sound = (report.named("missing_states", modality) for modality in ("text", "sound"))
    assert (text.severity, text.examples) == ("warning", ("i5",))
    assert "mine, taps 0,1, float32" in text.what
    assert (sound.count, sound.total) == (N_ITEMS - len(rows), N_ITEMS)
    # Of what content they are is not known.
    assert report.named("stale_states", "text").total == 0
