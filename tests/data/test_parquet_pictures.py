"""Pictures that are values of a Parquet column."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from iisan.data import Dataset, DelimitedImport, import_delimited
from iisan.data.importers import parquet_table
from iisan.data.importers.parquet_table import ParquetTable
from iisan.data.media_paths import BadMediaError
from iisan.data.picture_source import BadPicture
from iisan.errors import UserError
from tests.data.picture_files import picture, write_bytes_table, write_log

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def run(folder: Path, image: pa.Array, **options: object) -> Dataset:
    ids = [f"i{row}" for row in range(len(image))]
    write_log(folder, ids)
    pq.write_table(pa.table({"item_id": ids, "title": ids, "image": image}), folder / "items.parquet")
    settings = {"items": folder / "items.parquet", "interactions": folder / "log.csv", "image_column": "image"}
    return import_delimited(DelimitedImport.model_validate({**settings, **options}), folder / "out")


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.dictionary(pa.int32(), pa.binary()), IMAGE])
def test_types_of_bytes(tmp_path: Path, kind: pa.DataType) -> None:
    content = picture(1)
    value = {"bytes": content, "path": None} if kind == IMAGE else content
    values = pa.array([content, None]).cast(kind) if pa.types.is_dictionary(kind) else pa.array([value, None], kind)
    dataset = run(tmp_path, values)
    paths = dataset.image_paths("image")
    assert paths[0] is not None
    assert paths[0].read_bytes() == content
    assert paths[1] is None
    assert dataset.manifest.counts.present == {"text": 2, "image": 1}


def test_a_value_without_bytes_names_a_file_of_the_media_folder(tmp_path: Path) -> None:
    (tmp_path / "covers").mkdir()
    (tmp_path / "covers" / "1.png").write_bytes(picture(1))
    values = [{"bytes": None, "path": "1.png"}, {"bytes": picture(2), "path": "1.png"}, {"bytes": None, "path": " "}]
    dataset = run(tmp_path, pa.array(values, IMAGE), media_root=tmp_path / "covers")
    paths = dataset.image_paths("image")
    assert [path is not None for path in paths] == [True, True, False]
    assert paths[0] == dataset.path.resolve() / "media" / "1.png"
    assert paths[1] is not None
    assert paths[1].read_bytes() == picture(2)


BAD: list[tuple[Any, str]] = [
    ({"bytes": b"", "path": "x.png"}, "unreadable"),
    ({"bytes": b"<html>no such page</html>", "path": "x.png"}, "unreadable"),
    ({"bytes": picture(1, "PNG", (60, 60)), "path": "x.png"}, "too_large"),
    ({"bytes": picture(1, "BMP", (40, 40)), "path": "x.png"}, "too_large"),
    ({"bytes": None, "path": "../secret.png"}, "unsafe_path"),
    ({"bytes": None, "path": "/etc/hostname"}, "unsafe_path"),
    ({"bytes": None, "path": "https://example.org/1.png"}, "url"),
    ({"bytes": None, "path": "none.png"}, "missing_file"),
]


@pytest.mark.parametrize(("value", "reason"), BAD)
def test_bad_values_stop_the_import_or_are_counted(tmp_path: Path, value: Any, reason: str) -> None:
    (tmp_path / "secret.png").write_bytes(picture(9))
    folder = tmp_path / "in"
    folder.mkdir()
    values = pa.array([{"bytes": picture(3), "path": None}, value], IMAGE)
    limits = {"max_pixels": 3000, "max_media_bytes": 4000}
    with pytest.raises(UserError, match="image of item 'i1'") as caught:
        run(folder, values, **limits)
    assert "on_bad_media=skip" in str(caught.value)
    assert sorted(path.name for path in folder.iterdir()) == ["items.parquet", "log.csv"]
    dataset = run(folder, values, on_bad_media="skip", **limits)
    assert dataset.manifest.source.dropped == {f"image:{reason}": 1}
    assert [path is not None for path in dataset.image_paths("image")] == [True, False]
    assert len([path for path in (dataset.path / "media").rglob("*.*") if path.is_file()]) == 1


@pytest.mark.parametrize(
    "values",
    [
        pa.array([[{"bytes": b"x", "path": "x"}]], pa.list_(IMAGE)),
        pa.array([{"url": "x"}]),
        pa.array([[b"x"]], pa.list_(pa.binary())),
    ],
)
def test_other_nested_columns_are_refused(tmp_path: Path, values: pa.Array) -> None:
    with pytest.raises(UserError, match=r"items\.parquet: column 'image' holds .*one picture or path a row"):
        run(tmp_path, values)


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no column 'cover'.*item_id, title, image"):
        run(tmp_path, pa.array([b"x"]), image_column="cover")


def test_bytes_and_paths_side_by_side_keep_the_order_of_the_options(tmp_path: Path) -> None:
    (tmp_path / "back.png").write_bytes(picture(2))
    write_log(tmp_path, ["a"])
    table = pa.table({"item_id": ["a"], "front": [picture(1)], "back": ["back.png"], "side": [picture(3, "JPEG")]})
    pq.write_table(table, tmp_path / "items.parquet")
    config = DelimitedImport(
        items=tmp_path / "items.parquet",
        interactions=tmp_path / "log.csv",
        image_column="front",
        extra_images=("back=back", "side=side"),
    )
    dataset = import_delimited(config, tmp_path / "out")
    assert dataset.modalities == {"image": "image", "back": "image", "side": "image"}
    contents = [path.read_bytes() for name in dataset.modalities for path in dataset.image_paths(name) if path]
    assert contents == [picture(1), picture(2), picture(3, "JPEG")]


def test_a_file_named_like_a_content_is_not_taken_for_it(tmp_path: Path) -> None:
    first = run(tmp_path, pa.array([picture(1)]))
    path = first.image_paths("image")[0]
    assert path is not None
    relative = path.relative_to(first.path.resolve() / "media")
    for name, content in (("same", picture(1)), ("other", picture(2))):
        folder = tmp_path / name
        (folder / relative.parent).mkdir(parents=True)
        (folder / relative).write_bytes(content)
        table = pa.table({"item_id": ["a"], "front": [picture(1)], "back": [str(relative)]})
        pq.write_table(table, folder / "items.parquet")
        write_log(folder, ["a"])
        for images in (("x=front", "y=back"), ("x=back", "y=front")):
            settings = DelimitedImport(
                items=folder / "items.parquet",
                interactions=folder / "log.csv",
                extra_images=images,
                overwrite=True,
            )
            if name == "same":
                dataset = import_delimited(settings, folder / "out")
                assert dataset.image_paths("x") == dataset.image_paths("y")
            else:
                with pytest.raises(UserError, match="the name of another picture"):
                    import_delimited(settings, folder / "fails")


def test_a_row_group_is_the_most_that_is_held(tmp_path: Path) -> None:
    contents = {f"i{row}": picture(row, "BMP", (300, 300)) for row in range(48)}
    path = write_bytes_table(tmp_path / "items.parquet", contents, row_group_size=4)
    source = ParquetTable(path).pictures("image", lambda named: BadPicture(BadMediaError("x", named, "")))
    before, held = pa.total_allocated_bytes(), 0
    seen = 0
    for rows, one in source.pictures():
        assert one.read() == contents[f"i{rows[0]}"]  # type: ignore[attr-defined]
        held = max(held, pa.total_allocated_bytes() - before)
        seen += 1
    assert seen == len(source) == 48
    assert held < path.stat().st_size / 2


def test_a_large_row_group_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(parquet_table, "LARGE_ROW_GROUP", 100)
    with caplog.at_level(logging.WARNING, logger="iisan"):
        run(tmp_path, pa.array([picture(1), picture(2)]))
    assert "items.parquet: a row group has" in caplog.text


def test_a_damaged_column_is_one_line(tmp_path: Path) -> None:
    run(tmp_path, pa.array([picture(seed, "BMP", (40, 40)) for seed in range(4)]))
    path = tmp_path / "items.parquet"
    content = bytearray(path.read_bytes())
    column = pq.read_metadata(path).row_group(0).column(2)
    start = column.dictionary_page_offset or column.data_page_offset
    content[start : start + 60] = bytes(60)
    path.write_bytes(bytes(content))
    config = DelimitedImport(items=path, interactions=tmp_path / "log.csv", image_column="image", overwrite=True)
    with pytest.raises(UserError, match=r"items\.parquet: no readable Parquet"):
        import_delimited(config, tmp_path / "out")
    assert Dataset.open(tmp_path / "out").manifest.counts.present["image"] == 4
