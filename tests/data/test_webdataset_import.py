"""WebDataset shards: samples, their metadata and their pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from iisan.data import Dataset, WebDatasetImport, import_webdataset
from iisan.errors import UserError
from tests.cli.conftest import Cli
from tests.cli.conftest import cli as cli
from tests.data.picture_files import picture, write_log, write_tar


def run(
    folder: Path, files: list[tuple[str, bytes]], ids: list[str], packed: bool = False, **options: object
) -> Dataset:
    write_tar(folder / "x.tar", files, packed)
    write_log(folder, ids)
    config = WebDatasetImport.model_validate(
        {"shards": (str(folder / "x.tar"),), "interactions": folder / "log.csv", **options}
    )
    return import_webdataset(config, folder / "out")


def as_json(**fields: object) -> bytes:
    return json.dumps(fields).encode()


SAMPLES = [
    ("s/a.json", as_json(title="Mug &amp; lid", tags=["tea", "blue"], price=3)),
    ("s/a.jpg", picture(1, "JPEG")),
    ("s/a.back.PNG", picture(2)),
    ("s/b.png", picture(3)),
    ("s/b.txt", "a lamp, grün\n".encode()),
    ("s/b.cls", b"7"),
    ("s/c.json", as_json(title="Chair", tags=None, price=2.5)),
    ("s/.hidden.jpg", b"x"),
    ("s/README", b"no extension"),
]


@pytest.mark.parametrize("packed", [False, True])
def test_samples_become_items(tmp_path: Path, packed: bool) -> None:
    dataset = run(tmp_path, SAMPLES, ["s/a", "s/b", "s/c"], packed, attributes=("price", "cls"), unescape_html=True)
    assert dataset.item_ids == ["s/a", "s/b", "s/c"]
    assert dataset.titles == ["Mug & lid", None, "Chair"]
    assert dataset.texts("text") == ["Mug & lid", None, "Chair"]
    assert [dataset.attribute("price"), dataset.attribute("cls")] == [["3", None, "2.5"], [None, "7", None]]
    contents = [None if path is None else path.read_bytes() for path in dataset.image_paths("image")]
    assert contents == [picture(1, "JPEG"), picture(3), None]
    assert dataset.manifest.source.importer == "webdataset"


def test_fields_by_choice(tmp_path: Path) -> None:
    options = {
        "text": "{title} [{tags}]",
        "extra_texts": ("caption=txt",),
        "image_column": "png;jpg",
        "extra_images": ("back=back.png",),
        "title_column": "",
    }
    dataset = run(tmp_path, SAMPLES, ["s/a"], **options)
    assert dataset.texts("text") == ["Mug &amp; lid [tea, blue]", None, "Chair"]
    assert dataset.texts("caption") == [None, "a lamp, grün", None]
    assert dataset.titles == [None] * 3
    assert [path is not None for path in dataset.image_paths("back")] == [True, False, False]
    assert dataset.modalities == {"text": "text", "caption": "text", "image": "image", "back": "image"}


def test_text_falls_back_to_txt_and_pictures_to_none(tmp_path: Path) -> None:
    dataset = run(tmp_path, [("a.txt", b"one"), ("b.txt", b"two")], ["a"])
    assert dataset.texts("text") == ["one", "two"]
    assert dataset.modalities == {"text": "text"}


def test_ids_from_the_metadata_and_keys_that_repeat_in_another_shard(tmp_path: Path) -> None:
    for number in range(2):
        files = [("000.json", as_json(asin=f"B{number}", title="x")), ("000.png", picture(number))]
        write_tar(tmp_path / f"{number}.tar", files)
    write_log(tmp_path, ["B0", "B1"])
    config = WebDatasetImport(
        shards=(str(tmp_path / "{0..1}.tar"),), interactions=tmp_path / "log.csv", item_id_column="asin"
    )
    dataset = import_webdataset(config, tmp_path / "out")
    assert dataset.item_ids == ["B0", "B1"]
    assert [path.read_bytes() for path in dataset.image_paths("image") if path] == [picture(0), picture(1)]


@pytest.mark.parametrize(
    ("files", "options", "words"),
    [
        ([], {}, ["x.tar", "no samples"]),
        ([("README", b"x")], {}, ["no samples"]),
        ([("a.json", b"{")], {}, ["a.json in", "x.tar", "malformed JSON"]),
        ([("a.json", b"[" * 100_000)], {}, ["malformed JSON"]),
        ([("a.json", b"[]")], {}, ["a.json in", "not an object"]),
        ([("a.json", as_json(title={"en": "x"}))], {}, ["sample a", "'title'", "an object"]),
        ([("a.json", b'{"title": "\\ud800"}')], {}, ["sample a", "surrogate"]),
        ([("a.txt", b"\xff")], {}, ["a.txt in", "not UTF-8"]),
        ([("a.txt", b"x"), ("a.TXT", b"y")], {}, ["sample 'a' has two files .txt"]),
        ([("a.txt", b"x"), ("b.txt", b"y"), ("a.png", picture(1))], {}, ["sample a", "'a' is there already"]),
        ([("a.txt", b"x")], {"item_id_column": "asin"}, ["no column 'asin'", "__key__, txt"]),
        ([("a.json", b'{"asin": 1}'), ("b.txt", b"x")], {"item_id_column": "asin"}, ["sample b", "id is missing"]),
        ([("a.txt", b"x")], {"text": "{titel}"}, ["no column 'titel'"]),
        ([("a.txt", b"x")], {"extra_images": ("back=back.jpg",)}, ["no sample has a picture for 'back'"]),
        ([("a.txt", b"x")], {"image_column": "jpg"}, ["no sample has a picture for 'image'"]),
        ([("a.png", picture(1))], {"image_column": None}, ["neither text nor pictures"]),
        ([("a.png", b"no picture")], {}, ["image of item 'a'", "a.png in", "no picture of a known format"]),
        ([("a.txt", b"x")], {"interaction_item_column": "nope"}, ["log.csv", "nope"]),
    ],
)
def test_bad_shards_are_one_line(
    tmp_path: Path, files: list[tuple[str, bytes]], options: dict[str, object], words: list[str]
) -> None:
    with pytest.raises(UserError) as caught:
        run(tmp_path, files, ["a"], **options)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message
    assert not (tmp_path / "out").exists()


def test_metadata_that_would_fill_the_memory_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iisan.data.importers.webdataset_samples.MAX_METADATA_BYTES", 10)
    with pytest.raises(UserError, match=r"a\.json in .*: 14 bytes of text are too many"):
        run(tmp_path, [("a.json", b'{"title": "x"}')], ["a"])


def test_the_command_line(tmp_path: Path, cli: Cli) -> None:
    write_tar(tmp_path / "x.tar", SAMPLES)
    write_log(tmp_path, ["s/a", "s/b"])
    words = ("--shards", tmp_path / "*.tar", "--interactions", tmp_path / "log.csv")
    done = cli("import", "webdataset", tmp_path / "out", *words)
    assert done.code == 0, done.err
    assert "with image" in done.out
    failed = cli("import", "webdataset", tmp_path / "other", "--shards", "none.tar", *words[2:])
    assert failed.code == 2
    assert failed.error_lines == [
        "error: none.tar: there is no tar archive; name a .tar file, their folder or a pattern"
    ]
