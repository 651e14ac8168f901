"""What the doctor says of the published data."""

from __future__ import annotations

from pathlib import Path

import pytest

from iisan.data import DelimitedImport, IisanImport, import_delimited, import_iisan
from iisan.data.doctor import DoctorOptions, examine


def test_repeated_targets_of_scientific(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "amazon-scientific"
    config = IisanImport(
        items=folder / "Industrial_and_Scientific_items.tsv",
        users=folder / "am_Industrial_and_Scientific_users.tsv",
    )
    dataset = import_iisan(config, tmp_path / "scientific")
    report = examine(dataset.path, DoctorOptions(keep_last=13))
    assert report.ok
    repeated = report.named("repeated_targets", "test")
    assert repeated.total == 12_076
    assert 100 * repeated.share == pytest.approx(5.1, abs=0.05)
    assert report.named("no_times").count == 85_211
    assert report.named("later_training", "test").total == 0  # cannot be told without times


def test_ties_of_movielens(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "ml100k-posters"
    config = DelimitedImport(
        items=folder / "items.tsv",
        interactions=folder / "interactions.tsv",
        image_column="image",
        media_transfer="hardlink",
    )
    dataset = import_delimited(config, tmp_path / "ml100k")
    report = examine(dataset.path)
    assert report.ok
    assert 100 * report.named("tied_times").share == pytest.approx(75.6, abs=0.05)
    # The published file is in random order.
    assert report.named("unsorted_import").count > 10_000
    assert report.named("later_training", "test").count > 900
    by_time = examine(dataset.path, DoctorOptions(split="global_time"))
    assert by_time.ok
    assert by_time.named("later_training", "test").count == 0
    assert by_time.named("later_training", "test").total > 0
