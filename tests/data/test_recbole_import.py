"""RecBole's atomic files, as its own datasets have them."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from iisan.data import Dataset, RecBoleImport, import_recbole
from iisan.errors import UserError

INTER = (
    "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "196\t242\t3\t881250949\n"
    "186\t302\t3.5\t891717742\n"
    "196\t302\t1\t881250940\n"
)
ITEM = (
    "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\tvector:float_seq\n"
    "242\tKolya\t1996\tComedy\t0.1 0.2\n"
    '302\tL.A. "Confidential"\t1997\tCrime Film-Noir\t0.3 0.4\n'
    "9\t\t\tDrama\t\n"
)


def folder_with(folder: Path, **files: str) -> Path:
    """A folder of files; `__` in a name stands for a dot."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content, encoding="utf-8")
    return folder


def run(folder: Path, **options: object) -> Dataset:
    return import_recbole(RecBoleImport.model_validate({"folder": folder, **options}), folder.parent / "out")


def log_of(dataset: Dataset) -> list[tuple[str, str]]:
    log = dataset.interactions
    return [(dataset.user_ids[u], dataset.item_ids[i]) for u, i in zip(log.user, log.item, strict=True)]


def test_a_dataset_of_recbole(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "ml", ml__inter=INTER, ml__item=ITEM, ml__user="user_id:token\tage:token\n1\t2\n")
    calls: list[tuple[int, int | None, str]] = []
    dataset = import_recbole(RecBoleImport(folder=folder), tmp_path / "out", lambda *call: calls.append(call))
    assert dataset.item_ids == ["242", "302", "9"]
    assert dataset.titles == dataset.texts("text") == ["Kolya", 'L.A. "Confidential"', None]
    assert log_of(dataset) == [("196", "302"), ("196", "242"), ("186", "302")]
    log = dataset.interactions
    assert log.timestamp is not None
    assert log.rating is not None
    assert log.timestamp.tolist() == [881250940, 881250949, 891717742]
    assert log.timestamp.dtype.kind == "i"
    assert log.rating.tolist() == [1, 3, 3.5]
    assert dataset.manifest.source.importer == "recbole"
    assert dataset.manifest.source.options["item_id_field"] == "item_id"
    assert (2, 2, "tables") in calls
    dataset.verify()


def test_a_dataset_inside_a_folder_of_datasets(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    folder_with(tmp_path / "all" / "ml-100k", **{"ml-100k__inter": INTER, "ml-100k__item": ITEM})
    assert run(tmp_path / "all", dataset="ml-100k").n_items == 3


def test_names_of_fields_template_and_attributes(tmp_path: Path) -> None:
    inter = INTER.replace("user_id:", "who:").replace("item_id:", "movie_id:").replace("timestamp:", "when:")
    folder = folder_with(tmp_path / "ml", ml__inter=inter, ml__item=ITEM.replace("item_id:", "movie_id:"))
    names = {"user_id_field": "who", "item_id_field": "movie_id", "time_field": "when"}
    text = "{movie_title} ({release_year}): {class}"
    dataset = run(folder, **names, text=text, attributes=("release_year",), min_rating=3, title_field="class")
    assert dataset.texts("text") == ["Kolya (1996): Comedy", 'L.A. "Confidential" (1997): Crime Film-Noir', "Drama"]
    assert dataset.titles == ["Comedy", "Crime Film-Noir", "Drama"]
    assert dataset.attribute("release_year") == ["1996", "1997", None]
    assert log_of(dataset) == [("196", "242"), ("186", "302")]
    assert dataset.manifest.source.dropped == {"below_min_rating": 1}


def test_separators(tmp_path: Path) -> None:
    inter = INTER.replace("\t", ",")
    item = "item_id:token,title:token,tags:token_seq\n242,Kolya,a b|| c |\n302,Other,\n"
    folder = folder_with(tmp_path / "x", x__inter=inter, x__item=item)
    dataset = run(folder, field_separator=",", seq_separator="|", text="{title}: {tags}")
    assert dataset.texts("text") == ["Kolya: a b, c", "Other"]


def test_times_in_nanoseconds_keep_their_last_digit(tmp_path: Path) -> None:
    first = 1_588_687_728_923_000_001
    inter = f"{HEAD}u\t9\t1\t{first + 1}\nu\t302\t1\t{first}\n"
    dataset = run(folder_with(tmp_path / "x", x__inter=inter, x__item=ITEM))
    assert log_of(dataset) == [("u", "302"), ("u", "9")]
    assert dataset.interactions.timestamp is not None
    assert dataset.interactions.timestamp.tolist() == [first, first + 1]


HEAD = INTER.splitlines()[0] + "\n"


@pytest.mark.parametrize(
    ("parts", "options", "order"),
    [
        (("part10", "part2", "part1"), {}, ("part1", "part2", "part10")),
        (("test", "valid", "train"), {}, ("train", "valid", "test")),
        (("old", "new"), {"benchmark_filename": ("old", "new")}, ("old", "new")),
    ],
)
def test_a_log_that_is_split_already(
    tmp_path: Path, parts: tuple[str, ...], options: dict[str, object], order: tuple[str, ...]
) -> None:
    """Equal times: what comes first is told by the order of the parts alone."""
    files = {f"x__{part}__inter": f"{HEAD}u\t{part}\t1\t5\n" for part in parts}
    item = "item_id:token\tname:token_seq\n" + "".join(f"{part}\tItem {part}\n" for part in parts)
    dataset = run(folder_with(tmp_path / "x", x__item=item, **files), **options)
    assert log_of(dataset) == [("u", part) for part in order]


def test_the_whole_log_comes_before_its_parts(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "x", x__inter=INTER, x__item=ITEM, x__part1__inter=HEAD + "z\t9\t1\t1\n")
    assert run(folder).user_ids == ["196", "186"]


def test_without_an_item_file_pictures_make_the_items(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "x", x__inter=INTER)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.new("RGB", (4, 4)).save(pictures / "302.webp")
    with pytest.raises(UserError, match=r"x\.item: the file does not exist.*folder of pictures"):
        run(folder)
    dataset = run(folder, pictures=pictures)
    assert dataset.item_ids == ["242", "302"]
    assert [path is not None for path in dataset.image_paths("image")] == [False, True]
    assert dataset.modalities == {"image": "image"}


def test_pictures_by_a_field(tmp_path: Path) -> None:
    folder = folder_with(
        tmp_path / "x", x__inter=INTER, x__item="item_id:token\tcover:token\n242\tcovers/a.png\n302\t\n"
    )
    (folder / "covers").mkdir()
    Image.new("RGB", (4, 4)).save(folder / "covers" / "a.png")
    dataset = run(folder, image_field="cover")
    assert dataset.modalities == {"image": "image"}
    assert dataset.manifest.counts.present == {"image": 1}


def test_without_times_the_order_of_the_rows_counts(tmp_path: Path) -> None:
    inter = "user_id:token\titem_id:token\nu\t302\nu\t9\nu\t302\n"
    dataset = run(folder_with(tmp_path / "x", x__inter=inter, x__item=ITEM), time_field="")
    assert dataset.interactions.timestamp is None
    assert dataset.interactions.rating is None
    assert log_of(dataset) == [("u", "302"), ("u", "9"), ("u", "302")]


@pytest.mark.parametrize(
    ("inter", "item", "options", "words"),
    [
        (INTER.replace(":float", ":int", 1), ITEM, {}, ["x.inter, line 1", "'rating'", "unknown type 'int'"]),
        (INTER.replace("item_id:token", "item_id"), ITEM, {}, ["x.inter, line 1", "'item_id' is not name:type"]),
        (INTER, ITEM.replace("vector:float_seq", "class:float_seq"), {}, ["x.item, line 1", "'class'"]),
        (INTER, ITEM, {"time_field": "when"}, ["x.inter", "'when'", "user_id, item_id, rating, timestamp"]),
        (INTER, ITEM, {"user_id_field": "who"}, ["x.inter", "'who'"]),
        (INTER, ITEM, {"text": "{name}"}, ["x.item", "'name'", "movie_title"]),
        (INTER, ITEM.replace("movie_title", "label"), {}, ["x.item", "no field is a title", "label"]),
        (INTER, ITEM, {"min_rating": 3, "rating_field": ""}, ["min_rating"]),
        (INTER, ITEM + "1\tx\n", {}, ["x.item, line 5", "2 fields instead of 5"]),
        (INTER + "1\t2\t3\n", ITEM, {}, ["x.inter, line 5", "3 fields instead of 4"]),
        (INTER + "1\t242\tgood\t3\n", ITEM, {}, ["x.inter, line 5", "'good'"]),
        (INTER + "1\t242\t3\t\n", ITEM, {}, ["x.inter, line 5", "timestamp"]),
        (INTER + " \t242\t3\t1\n", ITEM, {}, ["x.inter, line 5", "user id is blank"]),
        (INTER + "1\t7\t3\t1\n", ITEM, {}, ["'7'", "unknown_items=drop"]),
        (HEAD, ITEM, {}, ["x.inter", "no rows"]),
        ("", ITEM, {}, ["x.inter", "empty"]),
        (INTER, ITEM + "242\tAgain\t\t\t\n", {}, ["x.item, line 5", "'242' is there already"]),
        (
            "user_id:token\titem_id_list:token_seq\titem_id:token\n1\t242\t302\n",
            ITEM,
            {},
            ["x.inter", "histories", "'item_id_list'"],
        ),
        (INTER, ITEM, {"dataset": "y"}, ["y.inter", "does not exist"]),
        (INTER, ITEM, {"benchmark_filename": ("a",)}, ["x.a.inter", "does not exist"]),
        (INTER, ITEM, {"image_field": "class", "pictures": Path()}, ["image_field and pictures"]),
        (INTER, ITEM, {"field_separator": "::"}, ["'::'"]),
    ],
)
def test_bad_files(tmp_path: Path, inter: str, item: str, options: dict[str, object], words: list[str]) -> None:
    folder = folder_with(tmp_path / "x", x__inter=inter, x__item=item)
    with pytest.raises(UserError) as caught:
        run(folder, **options)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, ["no file NAME.inter", "name the folder that holds the atomic files"]),
        ({"a__inter": INTER, "b__inter": INTER}, ["several datasets: a, b", "dataset"]),
        ({"a__x__inter": INTER, "a__y__inter": INTER}, ["x, y", "benchmark_filename"]),
    ],
)
def test_folders_that_leave_open_what_to_read(tmp_path: Path, files: dict[str, str], words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        run(folder_with(tmp_path / "x", **files))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the folder does not exist"):
        run(tmp_path / "nope")
