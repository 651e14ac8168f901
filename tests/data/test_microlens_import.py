"""MicroLens in the forms that its authors publish."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from iisan.data import Dataset, MicroLensImport, import_microlens
from iisan.errors import UserError

PAIRS_CSV = "user,item,timestamp\n36121,9580,1583378629552\n4,15401,1583399628322\n36121,15401,1583378629552\n"
PAIRS_TSV = "36121\t9580 15401\n4\t15401\n"
TITLES = 'item,title\n9580,"Hello, ""world"""\n15401,Plain\n7,"two\nlines"\n'
# As in the 100k and 1M files: no header, quotes that are never closed, commas.
TITLE_LINES = '9580,"Hello, ""world"""\n15401,He said "no, and left\n7,"never closed, he said\n8,\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "MicroLens-50k"
    folder.mkdir()
    (folder / "readme.txt").write_text("not read")
    return folder


def put(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        stem, _, suffix = name.rpartition("__")
        (folder / f"MicroLens-50k_{stem}.{suffix}").write_text(content, encoding="utf-8", newline="")
    return folder


def covers(folder: Path, *names: str) -> None:
    (folder / "MicroLens-50k_covers").mkdir()
    for name in names:
        Image.new("RGB", (4, 4)).save(folder / "MicroLens-50k_covers" / name)


def run(folder: Path, **options: object) -> Dataset:
    return import_microlens(MicroLensImport.model_validate({"folder": folder, **options}), folder.parent / "out")


def log_of(dataset: Dataset) -> list[tuple[str, str]]:
    log = dataset.interactions
    return [(dataset.user_ids[u], dataset.item_ids[i]) for u, i in zip(log.user, log.item, strict=True)]


def test_50k(folder: Path) -> None:
    put(folder, pairs__csv=PAIRS_CSV, pairs__tsv="9\t9\n", titles__csv=TITLES)
    put(folder, likes_and_views__txt="9580\t12\t3400\n7\t1\t2\n")
    covers(folder, "9580.jpg")
    dataset = run(folder, attributes=("views", "likes"))
    assert dataset.item_ids == ["9580", "15401", "7"]
    assert dataset.texts("text") == dataset.titles == ['Hello, "world"', "Plain", "two\nlines"]
    assert [path is not None for path in dataset.image_paths("image")] == [True, False, False]
    assert dataset.attribute("views") == ["3400", None, "2"]
    assert dataset.attribute("likes") == ["12", None, "1"]
    assert log_of(dataset) == [("36121", "9580"), ("36121", "15401"), ("4", "15401")]
    assert dataset.interactions.timestamp is not None
    assert dataset.interactions.timestamp.tolist() == [1583378629552, 1583378629552, 1583399628322]
    assert dataset.manifest.source.importer == "microlens"
    dataset.verify()


@pytest.mark.parametrize("name", ["title_en__csv", "title__csv"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_100k_and_1m_titles_are_lines(folder: Path, name: str, end: str) -> None:
    put(folder, pairs__csv=PAIRS_CSV, **{name: "\ufeff" + TITLE_LINES.replace("\n", end)})
    dataset = run(folder)
    assert dataset.item_ids == ["9580", "15401", "7", "8"]
    assert dataset.titles == ['Hello, "world"', 'He said "no, and left', '"never closed, he said', None]
    assert dataset.modalities == {"text": "text"}


def test_the_log_as_lines_of_users(folder: Path) -> None:
    put(folder, pairs__tsv=PAIRS_TSV, titles__csv=TITLES)
    dataset = run(folder)
    assert log_of(dataset) == [("36121", "9580"), ("36121", "15401"), ("4", "15401")]
    assert dataset.interactions.timestamp is None


@pytest.mark.parametrize("first", ["userID,videoID,timestamp\n", ""])
def test_other_heads_of_pairs(folder: Path, first: str) -> None:
    put(folder, pairs__csv=first + PAIRS_CSV.partition("\n")[2], titles__csv=TITLES)
    assert log_of(run(folder)) == [("36121", "9580"), ("36121", "15401"), ("4", "15401")]


def test_items_with_a_cover_and_no_title(folder: Path) -> None:
    put(folder, pairs__csv=PAIRS_CSV, titles__csv="item,title\n7,Seven\n")
    covers(folder, "15401.jpg", "9580.png", "555.jpg")
    dataset = run(folder)
    assert dataset.item_ids == ["7", "9580", "15401"]
    assert dataset.texts("text") == ["Seven", None, None]
    assert [path is not None for path in dataset.image_paths("image")] == [False, True, True]


def test_items_without_title_and_cover_are_unknown(folder: Path) -> None:
    put(folder, pairs__csv=PAIRS_CSV, titles__csv="item,title\n7,Seven\n")
    covers(folder, "9580.jpg")
    with pytest.raises(UserError, match="2 interactions are with 1 items that the catalogue lacks, such as '15401'"):
        run(folder)
    dataset = run(folder, unknown_items="drop")
    assert dataset.item_ids == ["7", "9580"]
    assert dataset.manifest.source.dropped == {"unknown_item": 2}


def test_covers_alone(folder: Path) -> None:
    put(folder, pairs__csv=PAIRS_CSV)
    covers(folder, "15401.jpg", "9580.jpg")
    dataset = run(folder)
    assert dataset.modalities == {"image": "image"}
    assert dataset.item_ids == ["9580", "15401"]


def test_files_may_be_named(folder: Path, tmp_path: Path) -> None:
    put(folder, pairs__csv=PAIRS_CSV, titles__csv=TITLES, title_en__csv=TITLE_LINES)
    covers(folder, "9580.jpg")
    (tmp_path / "log.tsv").write_text("4\t9580\n")
    with pytest.raises(UserError, match=r"title_en\.csv, .*titles\.csv are there; name the one to read with titles"):
        run(folder)
    titles = folder / "MicroLens-50k_title_en.csv"
    dataset = run(folder, titles=titles, pairs=tmp_path / "log.tsv", pictures=None)
    assert log_of(dataset) == [("4", "9580")]
    assert dataset.modalities == {"text": "text"}


@pytest.mark.parametrize(
    ("files", "options", "words"),
    [
        ({"titles__csv": TITLES}, {}, ["no *_pairs.csv or *_pairs.tsv"]),
        ({"pairs__csv": PAIRS_CSV}, {}, ["neither titles nor covers"]),
        ({"pairs__csv": "a,b,c\n1,2,3\n", "titles__csv": TITLES}, {}, ["_pairs.csv", "user, item and timestamp"]),
        (
            {"pairs__csv": PAIRS_CSV + "1,9580\n", "titles__csv": TITLES},
            {},
            ["_pairs.csv, line 5", "2 fields instead of 3"],
        ),
        ({"pairs__csv": PAIRS_CSV + "1,9580,x\n", "titles__csv": TITLES}, {}, ["_pairs.csv, line 5", "'x'"]),
        ({"pairs__csv": PAIRS_CSV, "title__csv": "9580\n"}, {}, ["_title.csv, line 1", "no comma"]),
        ({"pairs__csv": PAIRS_CSV, "title__csv": "9,a\n9,b\n"}, {}, ["_title.csv, line 2", "'9' is there already"]),
        ({"pairs__csv": PAIRS_CSV, "title__csv": ",a\n"}, {}, ["_title.csv, line 1", "item id is blank"]),
        ({"pairs__csv": PAIRS_CSV, "title__csv": ""}, {}, ["_title.csv", "empty"]),
        ({"pairs__csv": PAIRS_CSV, "titles__csv": "item,title\n7,Seven\n"}, {}, ["'9580'", "unknown_items=drop"]),
        ({"pairs__tsv": "4\t\n", "titles__csv": TITLES}, {}, ["_pairs.tsv, line 1", "no items"]),
        ({"pairs__csv": PAIRS_CSV, "titles__csv": TITLES}, {"attributes": ("likes",)}, ["likes_and_views"]),
        ({"pairs__csv": PAIRS_CSV, "titles__csv": TITLES}, {"pictures": Path("nope")}, ["nope", "does not exist"]),
        ({"pairs__csv": PAIRS_CSV, "titles__csv": TITLES}, {"titles": Path("nope")}, ["nope", "cannot be read"]),
    ],
)
def test_bad_folders(folder: Path, files: dict[str, str], options: dict[str, object], words: list[str]) -> None:
    put(folder, **files)
    with pytest.raises(UserError) as caught:
        run(folder, **options)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_titles_of_another_encoding(folder: Path) -> None:
    put(folder, pairs__csv=PAIRS_CSV)
    (folder / "MicroLens-50k_title.csv").write_bytes(b"1,a\n2,\xe9\n")
    with pytest.raises(UserError, match=r"_title\.csv, line 2: the text is not UTF-8"):
        run(folder)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nope: the folder does not exist"):
        run(tmp_path / "nope")
