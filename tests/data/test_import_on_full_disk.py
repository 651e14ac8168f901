"""Importing a dataset onto a full disk: one line, nothing is left, an older dataset stays, the next run succeeds."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from iisan.data import Dataset, DelimitedImport, import_delimited
from iisan.errors import UserError
from tests.full_disk import files_of_at_most, full_from


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def config(tiny_tables: Path) -> DelimitedImport:
    tables = {"items": tiny_tables / "items.csv", "interactions": tiny_tables / "interactions.csv"}
    return DelimitedImport(**tables, image_column="image", name="shop")


@pytest.mark.parametrize("older", [False, True], ids=["new", "in place of an older one"])
def test_full_at_every_call_in_turn(config: DelimitedImport, tmp_path: Path, older: bool) -> None:
    if older:  # the pictures' calls were tried without one
        config = config.model_copy(update={"overwrite": True, "image_column": None})
    expected = bytes_of(import_delimited(config, tmp_path / "whole").path)
    place = tmp_path / "place"
    place.mkdir()
    output = place / "shop"
    n_failed = 0
    for step in itertools.count():
        if older:
            import_delimited(config.model_copy(update={"name": "older"}), output)
        said = ""
        with full_from(step) as failed:
            try:
                import_delimited(config, output)
            except UserError as error:
                said = str(error)
        if not failed:
            break
        n_failed += 1
        assert said.startswith(str(place)), said
        assert "No space left on device" in said
        assert "make room there" in said
        # Where it could be taken away but not put back, it is beside its place, and the next import finds it.
        left = [path.name for path in place.iterdir()]
        assert left in ([["shop"], [".shop.old"]] if older else [[]])
        for name in left:
            dataset = Dataset.open(place / name)
            dataset.verify()
            assert dataset.name == "older"
    assert n_failed > 10
    assert bytes_of(output) == expected


def test_files_that_cannot_grow(config: DelimitedImport, tmp_path: Path) -> None:
    expected = bytes_of(import_delimited(config, tmp_path / "whole").path)
    place = tmp_path / "place"
    for size in sorted({len(content) for content in expected.values()})[::5]:
        with files_of_at_most(size - 1), pytest.raises(UserError, match=r"place/shop: .*File too large.*make room"):
            import_delimited(config, place / "shop")
        assert list(place.iterdir()) == []
    import_delimited(config, place / "shop")
    assert bytes_of(place / "shop") == expected
