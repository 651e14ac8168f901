"""One picture, many ways in: the same pixels come out of a dataset however they went in."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from iisan.data import Dataset, DelimitedImport, WebDatasetImport, import_delimited, import_webdataset
from tests.data.picture_files import picture, write_bytes_table, write_log, write_tar

FORMATS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "GIF": "gif", "BMP": "bmp", "TIFF": "tif"}
ITEMS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(sorted(FORMATS)), st.booleans()), min_size=1, max_size=5)


def pixels(content: bytes | Path | None) -> list[int] | None:
    if content is None:
        return None
    with Image.open(content if isinstance(content, Path) else io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB")).ravel().tolist()


def shown(dataset: Dataset) -> dict[str, list[int] | None]:
    dataset.verify()
    paths = dataset.image_paths("image") if "image" in dataset.modalities else [None] * dataset.n_items
    return {one: pixels(path) for one, path in zip(dataset.item_ids, paths, strict=True)}


def import_table(folder: Path, name: str, **options: object) -> Dataset:
    config = DelimitedImport.model_validate(
        {"items": folder / name, "interactions": folder / "log.csv", "image_column": "image", **options}
    )
    return import_delimited(config, folder / f"out-{name}-{len(list(folder.iterdir()))}")


@settings(max_examples=25, deadline=None)
@given(items=ITEMS, packed=st.booleans(), n_shards=st.integers(1, 3), check=st.sampled_from(["header", "full"]))
def test_every_way_in_gives_the_same_pixels(
    items: list[tuple[int, str, bool]], packed: bool, n_shards: int, check: str
) -> None:
    contents = {f"i{row}": picture(seed, form) if there else None for row, (seed, form, there) in enumerate(items)}
    names = {f"i{row}": f"i{row}.{FORMATS[form]}" for row, (_, form, _) in enumerate(items)}
    expected = {one: pixels(content) for one, content in contents.items()}
    there = {names[one]: content for one, content in contents.items() if content is not None}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pictures").mkdir()
        (folder / "shards").mkdir()
        write_log(folder, list(contents))
        for file, content in there.items():
            (folder / "pictures" / file).write_bytes(content)
        rows = [f"{one},t,{names[one] if content is not None else ''}\n" for one, content in contents.items()]
        (folder / "items.csv").write_text("item_id,title,image\n" + "".join(rows), encoding="utf-8")
        write_bytes_table(folder / "plain.parquet", contents, plain=True)
        write_bytes_table(folder / "struct.parquet", contents, row_group_size=2)
        for number in range(n_shards):
            part = dict(list(there.items())[number::n_shards])
            write_tar(folder / "shards" / f"{number}.tar", part, packed)
        results = [
            import_table(folder, "items.csv", media_root=folder / "pictures", check_media=check),
            import_table(folder, "plain.parquet", check_media=check),
            import_table(folder, "struct.parquet", check_media=check),
            import_table(folder, "items.csv", media_tar=[str(folder / "shards")], check_media=check),
            import_samples(folder, contents, names, packed),
        ]
        assert [shown(dataset) for dataset in results] == [expected] * len(results)


def import_samples(folder: Path, contents: dict[str, bytes | None], names: dict[str, str], packed: bool) -> Dataset:
    files = []
    for one, content in contents.items():
        files.append((f"{one}.json", json.dumps({"title": one}).encode()))
        if content is not None:
            files.append((names[one], content))
    write_tar(folder / "samples.tar", files, packed)
    config = WebDatasetImport(shards=(str(folder / "samples.tar"),), interactions=folder / "log.csv")
    return import_webdataset(config, folder / "out-samples")


def test_equal_pictures_are_stored_once_and_named_by_their_content(tmp_path: Path) -> None:
    one, other = picture(1), picture(2, "JPEG")
    write_log(tmp_path, ["a", "b", "c"])
    write_bytes_table(tmp_path / "items.parquet", {"a": one, "b": one, "c": other})
    dataset = import_table(tmp_path, "items.parquet")
    paths = dataset.image_paths("image")
    assert paths[0] == paths[1] != paths[2]
    listed = [path for path in (dataset.path / "media").rglob("*") if path.is_file()]
    assert sorted(listed) == sorted({path for path in paths if path is not None})
    assert sorted(path.suffix for path in listed) == [".jpg", ".png"]
    again = import_table(tmp_path, "items.parquet")
    assert [path.relative_to(again.path) for path in again.image_paths("image") if path is not None] == [
        path.relative_to(dataset.path) for path in paths if path is not None
    ]


@pytest.mark.parametrize("named", ["../../../evil.png", "/tmp/evil.png", "https://example.org/evil.png", "a\0b", ""])
def test_the_path_beside_the_bytes_decides_nothing(tmp_path: Path, named: str) -> None:
    write_log(tmp_path, ["a"])
    write_bytes_table(tmp_path / "items.parquet", {"a": picture(1)}, paths=named)
    before = sorted(path.name for path in tmp_path.iterdir())
    dataset = import_table(tmp_path, "items.parquet")
    path = dataset.image_paths("image")[0]
    assert path is not None
    assert path.relative_to(dataset.path / "media").match("??/*.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*before, dataset.path.name])


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "parquet"])
def test_real_posters_from_archives_and_tables(real_data: Path, tmp_path: Path, kind: str) -> None:
    folder = real_data / "ml100k-posters"
    lines = [line.split("\t") for line in (folder / "items.tsv").read_text(encoding="utf-8").splitlines()]
    at = {name: lines[0].index(name) for name in ("item_id", "image")}
    posters = {row[at["item_id"]]: (folder / row[at["image"]]).read_bytes() for row in lines[1:201]}
    write_log(tmp_path, list(posters))
    options: dict[str, object] = {"check_media": "full"}
    if kind == "parquet":
        write_bytes_table(tmp_path / "items.parquet", posters, row_group_size=50)
    else:
        write_tar(tmp_path / "posters", {f"p/{one}.jpg": content for one, content in posters.items()}, kind != "tar")
        (tmp_path / "items.csv").write_text("item_id,title\n" + "".join(f"{one},t\n" for one in posters))
        options |= {"media_tar": [str(tmp_path / "posters")], "image_column": "item_id"}
    dataset = import_table(tmp_path, "items.parquet" if kind == "parquet" else "items.csv", **options)
    dataset.verify()
    contents = {
        one: path.read_bytes() for one, path in zip(dataset.item_ids, dataset.image_paths("image"), strict=True) if path
    }
    assert contents == posters
