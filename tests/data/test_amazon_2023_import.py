"""Amazon Reviews 2023, from records of the published files."""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from iisan.data import Amazon2023Import, Dataset, import_amazon_2023
from iisan.errors import UserError

M = "https://m.media-amazon.com/images/I/"


def picture(name: str, variant: str, *, hi_res: bool = True) -> dict[str, str | None]:
    return {
        "thumb": f"{M}{name}._SS40_.jpg",
        "large": f"{M}{name}.jpg",
        "variant": variant,
        "hi_res": f"{M}{name}._SL1500_.jpg" if hi_res else None,
    }


# The types of `details` differ between lines, and `price` is a number, a text or null.
META: list[dict[str, Any]] = [
    {
        "main_category": "All Beauty",
        "title": "Howard LC0008 Leather Conditioner, 8-Ounce (4-Pack)",
        "average_rating": 4.8,
        "rating_number": 10,
        "features": [],
        "description": [],
        "price": None,
        "images": [picture("71side", "PT01"), picture("71i77", "MAIN")],
        "videos": [],
        "store": "Howard Products",
        "categories": [],
        "details": {"Package Dimensions": "7.1 x 5.5 x 3 inches; 2.38 Pounds", "UPC": "617390882781"},
        "parent_asin": "B01CUPMQZE",
        "bought_together": None,
        "subtitle": None,
        "author": None,
    },
    {
        "main_category": "All Beauty",
        "title": "Salt &amp; Pepper \u201ccut\u201d",
        "features": ["Sharp, &lt;5 cm", "Light"],
        "description": ["One.", "Two."],
        "price": 4.99,
        "images": [picture("51a", "PT02", hi_res=False)],
        "videos": [{"title": "x", "url": "y", "user_id": ""}],
        "store": None,
        "categories": ["Tools", "Cut"],
        "details": {"Best Sellers Rank": {"Beauty": 3}, "Is Discontinued By Manufacturer": False},
        "parent_asin": "B076WQZGPM",
        "bought_together": None,
        "author": {"avatar": "x", "name": "y", "about": []},
    },
    {"title": None, "parent_asin": "B000000001", "images": [], "details": "none", "price": "from 3.00"},
]


def review(user: str, item: str, time: int, rating: float = 5.0) -> dict[str, Any]:
    return {
        "rating": rating,
        "title": 'Such a lovely "scent"',
        "text": "This spray is\nreally nice. \u2028",
        "images": [],
        "asin": "B00YQ6X8EO",
        "parent_asin": item,
        "user_id": user,
        "timestamp": time,
        "helpful_vote": 0,
        "verified_purchase": True,
    }


REVIEWS = [
    review("AGKH", "B076WQZGPM", 1588687728923),
    review("AFKZ", "B01CUPMQZE", 1588615855070, 4),
    review("AGKH", "B01CUPMQZE", 1588687728000, 1.0),
]
CSV = (
    "user_id,parent_asin,rating,timestamp,history\n"
    "AGKH,B01CUPMQZE,1.0,1588687728000,\n"
    "AGKH,B076WQZGPM,5.0,1588687728923,B01CUPMQZE\n"
)


def lines(records: list[Any]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def write(folder: Path, meta: str = lines(META), reviews: str = lines(REVIEWS)) -> dict[str, object]:
    (folder / "meta_All_Beauty.jsonl").write_text(meta, encoding="utf-8")
    (folder / "All_Beauty.jsonl").write_text(reviews, encoding="utf-8")
    return {"meta": folder / "meta_All_Beauty.jsonl", "reviews": (folder / "All_Beauty.jsonl",)}


def run(folder: Path, files: dict[str, object], **options: object) -> Dataset:
    return import_amazon_2023(Amazon2023Import.model_validate({**files, **options}), folder / "out")


def log_of(dataset: Dataset) -> list[tuple[str, str]]:
    log = dataset.interactions
    return [(dataset.user_ids[u], dataset.item_ids[i]) for u, i in zip(log.user, log.item, strict=True)]


def test_reviews_and_metadata(tmp_path: Path) -> None:
    files, calls = write(tmp_path), list[tuple[int, int | None, str]]()
    config = Amazon2023Import.model_validate({**files, "attributes": ("store", "price"), "min_rating": 2})
    dataset = import_amazon_2023(config, tmp_path / "out", lambda *call: calls.append(call))
    assert dataset.item_ids == ["B01CUPMQZE", "B076WQZGPM", "B000000001"]
    assert dataset.titles == [META[0]["title"], "Salt & Pepper \u201ccut\u201d", None]
    assert dataset.texts("text") == [
        META[0]["title"],
        "Salt & Pepper \u201ccut\u201d. Sharp, <5 cm, Light. Tools, Cut. One., Two.",
        None,
    ]
    assert dataset.attribute("store") == ["Howard Products", None, None]
    assert dataset.attribute("price") == [None, "4.99", "from 3.00"]
    assert log_of(dataset) == [("AGKH", "B076WQZGPM"), ("AFKZ", "B01CUPMQZE")]
    assert dataset.interactions.timestamp is not None
    assert dataset.interactions.rating is not None
    assert dataset.interactions.timestamp.tolist() == [1588687728923, 1588615855070]
    assert dataset.interactions.rating.tolist() == [5, 4]
    assert dataset.manifest.source.dropped == {"repeated_item": 0, "below_min_rating": 1}
    assert {label for _, _, label in calls} == {"meta_All_Beauty.jsonl, MiB", "All_Beauty.jsonl, MiB"}
    dataset.verify()


def test_fields_that_are_not_read_may_be_of_any_type(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They do not even slow the reader down."""
    caplog.set_level("INFO", logger="iisan")
    run(tmp_path, write(tmp_path))
    assert not any("line by line" in message for message in caplog.messages)
    run(tmp_path, write(tmp_path), attributes=("price",), overwrite=True)
    assert sum("meta_All_Beauty.jsonl is read line by line from line 1 on" in one for one in caplog.messages) == 1


def test_entities_may_stay(tmp_path: Path) -> None:
    dataset = run(tmp_path, write(tmp_path), unescape_html=False, text="{title}")
    assert dataset.texts("text")[1] == "Salt &amp; Pepper \u201ccut\u201d"


def test_packed_files_and_pure_ids(tmp_path: Path) -> None:
    files = write(tmp_path)
    meta, log = tmp_path / "meta_All_Beauty.jsonl.gz", tmp_path / "All_Beauty.csv.gz"
    meta.write_bytes(gzip.compress(lines(META).encode()))
    log.write_bytes(gzip.compress(CSV.encode()))
    dataset = run(tmp_path, {"meta": meta, "reviews": (log,)})
    assert log_of(dataset) == [("AGKH", "B01CUPMQZE"), ("AGKH", "B076WQZGPM")]
    packed = tmp_path / "All_Beauty.jsonl.gz"
    packed.write_bytes(gzip.compress(lines(REVIEWS).encode()))
    again = run(tmp_path, {**files, "reviews": (packed,)}, overwrite=True)
    assert log_of(again) == [("AGKH", "B01CUPMQZE"), ("AGKH", "B076WQZGPM"), ("AFKZ", "B01CUPMQZE")]


def test_parts_of_a_split(tmp_path: Path) -> None:
    """Equal times, so that only the order of the files tells what came first."""
    files = write(tmp_path)
    head, parts = "user_id,parent_asin,rating,timestamp\n", []
    for part, item in (("train", "B076WQZGPM"), ("valid", "B000000001"), ("test", "B01CUPMQZE")):
        parts.append(tmp_path / f"All_Beauty.{part}.csv")
        parts[-1].write_text(f"{head}new {part},{item},5.0,9\nu,{item},5.0,7\n")
    dataset = run(tmp_path, {**files, "reviews": tuple(parts)})
    assert log_of(dataset)[1:4] == [("u", "B076WQZGPM"), ("u", "B000000001"), ("u", "B01CUPMQZE")]
    assert dataset.user_ids == ["new train", "u", "new valid", "new test"]


def test_repeated_items(tmp_path: Path) -> None:
    files = write(tmp_path, lines([*META, {**META[0], "title": "Another"}]))
    dataset = run(tmp_path, files)
    assert dataset.n_items == 3
    assert dataset.titles[0] == META[0]["title"]
    assert dataset.manifest.source.dropped["repeated_item"] == 1
    with pytest.raises(UserError, match=r"meta_All_Beauty\.jsonl, line 4: item 'B01CUPMQZE' is there already"):
        run(tmp_path, files, repeated_items="error", overwrite=True)


def test_addresses_are_listed_and_nothing_is_fetched(tmp_path: Path) -> None:
    odd = {**META[0], "parent_asin": "B9", "images": [{"large": "file:///etc/passwd"}, None]}
    spaced = {**META[0], "parent_asin": "B8", "images": [{"large": f"{M}a b.jpg"}]}
    files, target = write(tmp_path, lines([*META, odd, spaced])), tmp_path / "lists" / "urls.tsv"
    run(tmp_path, files, image_urls=target)
    expected = [f"B01CUPMQZE\t{M}71i77.jpg", f"B076WQZGPM\t{M}51a.jpg"]
    assert target.read_text().splitlines() == expected
    (tmp_path / "out").rename(tmp_path / "first")
    with pytest.raises(UserError, match=r"urls\.tsv: the list of addresses is there already"):
        run(tmp_path, files, image_urls=target)
    run(tmp_path, files, image_urls=target, image_size="hi_res", overwrite=True)
    assert target.read_text().splitlines() == [f"B01CUPMQZE\t{M}71i77._SL1500_.jpg", expected[1]]
    assert [path.name for path in target.parent.iterdir()] == ["urls.tsv"]


ADDRESS = st.none() | st.sampled_from([f"{M}{number}.jpg" for number in range(6)])
PICTURES = st.lists(
    st.none()
    | st.fixed_dictionaries(
        {"variant": st.sampled_from(["MAIN", "PT01", None])},
        optional={"thumb": ADDRESS, "large": ADDRESS, "hi_res": ADDRESS},
    ),
    max_size=4,
)


@settings(max_examples=40, deadline=None)
@given(
    pictures=st.lists(st.none() | PICTURES, min_size=1, max_size=5), size=st.sampled_from(["thumb", "large", "hi_res"])
)
def test_which_address_is_listed(pictures: list[list[dict[str, str | None] | None] | None], size: str) -> None:
    expected = []
    for number, listed in enumerate(pictures):
        there = [one for one in listed or [] if one is not None]
        there.sort(key=lambda one: one["variant"] != "MAIN")
        found = [there[0].get(name) for name in (size, "large", "hi_res", "thumb")] if there else []
        expected += [f"B{number}\t{address}" for address in found if address is not None][:1]
    with tempfile.TemporaryDirectory() as name:
        meta = [{"parent_asin": f"B{number}", "title": "x", "images": one} for number, one in enumerate(pictures)]
        files = write(Path(name), lines(meta), lines([review("u", "B0", 1)]))
        run(Path(name), files, image_urls=Path(name) / "urls.tsv", image_size=size)
        assert (Path(name) / "urls.tsv").read_text().splitlines() == expected


def test_the_list_of_addresses_does_not_outlive_an_error(tmp_path: Path) -> None:
    files = write(tmp_path, reviews=lines([review("u", "B_NONE", 1)]))
    with pytest.raises(UserError, match="B_NONE"):
        run(tmp_path, files, image_urls=tmp_path / "urls.tsv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["All_Beauty.jsonl", "meta_All_Beauty.jsonl"]
    with pytest.raises(UserError, match="may not lie in the dataset"):
        run(tmp_path, files, image_urls=tmp_path / "out" / "urls.tsv")


def test_downloaded_pictures(tmp_path: Path) -> None:
    files = write(tmp_path)
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "pictures" / "B076WQZGPM.jpg")
    dataset = run(tmp_path, files, pictures=tmp_path / "pictures", text="")
    assert [path is not None for path in dataset.image_paths("image")] == [False, True, False]
    assert dataset.modalities == {"image": "image"}


def test_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file larger than a block is read in pieces that end with a line; the line of a fault counts through all."""
    monkeypatch.setattr("iisan.data.importers.json_blocks.BLOCK_BYTES", 2000)
    meta = [
        {**META[number % 2], "parent_asin": f"B{number}", "price": [None, 1, "2"][number % 3]} for number in range(40)
    ]
    reviews = [review(f"u{number % 7}", f"B{number}", number) for number in range(40)]
    dataset = run(tmp_path, write(tmp_path, lines(meta), lines(reviews)))
    assert dataset.item_ids == [f"B{number}" for number in range(40)]
    assert dataset.interactions.timestamp is not None
    assert sorted(dataset.interactions.timestamp.tolist()) == list(range(40))
    assert dataset.user_ids == [f"u{number}" for number in range(7)]
    text = lines(reviews[:30]) + "\n" + lines(reviews[30:]).replace('"u5"', '" "', 1)
    with pytest.raises(UserError, match=r"All_Beauty\.jsonl, line 35: the user id is blank"):
        run(tmp_path, write(tmp_path, lines(meta), text), overwrite=True)
    for line, fault in ((36, '{"parent_asin": \n'), (37, "{}\n"), (38, '{"parent_asin": " "}\n')):
        text = lines(meta[: line - 1]) + fault + lines(meta[line:])
        with pytest.raises(UserError, match=rf"meta_All_Beauty\.jsonl, line {line}: "):
            run(tmp_path, write(tmp_path, text, lines(reviews)), overwrite=True)


def changed(index: int, **fields: object) -> str:
    return lines([{**record, **fields} if number == index else record for number, record in enumerate(META)])


@pytest.mark.parametrize(
    ("meta", "reviews", "options", "words"),
    [
        (lines(META) + '{"parent_asin": \n', lines(REVIEWS), {}, ["meta_All_Beauty.jsonl, line 4", "malformed JSON"]),
        (lines(META) + "\n[1]\n", lines(REVIEWS), {}, ["meta_All_Beauty.jsonl, line 5", "not a JSON object"]),
        (changed(1, parent_asin=None), lines(REVIEWS), {}, ["meta_All_Beauty.jsonl, line 2", "parent_asin"]),
        (changed(2, parent_asin=" "), lines(REVIEWS), {}, ["meta_All_Beauty.jsonl, line 3", "blank"]),
        (changed(1, title=["a"]), lines(REVIEWS), {}, ["meta_All_Beauty.jsonl, line 2", "'title' is a list"]),
        (changed(1, features={"a": 1}), lines(REVIEWS), {}, ["line 2", "'features' is an object"]),
        (changed(1, title="\ud800"), lines(REVIEWS), {}, ["line 2", "surrogate"]),
        (changed(1, images=["x"]), lines(REVIEWS), {"image_urls": True}, ["line 2", "'images' holds 'x'"]),
        (lines(META), lines([*REVIEWS, {**REVIEWS[0], "timestamp": "soon"}]), {}, ["line 4", "'timestamp' is 'soon'"]),
        (lines(META), lines([*REVIEWS, review("u", "B01CUPMQZE", 1 << 70)]), {}, ["line 4", "'timestamp'"]),
        (lines(META), '{"user_id": "u"}{"user_id": "v"}\n', {}, ["All_Beauty.jsonl, line 1", "malformed JSON"]),
        (lines(META), lines([{}]), {}, ["All_Beauty.jsonl, line 1", "user id is missing"]),
        (lines(META), lines([*REVIEWS, review("u", "B_NO", 1)]), {}, ["'B_NO'", "unknown_items=drop"]),
        (lines(META), "", {}, ["All_Beauty.jsonl", "empty"]),
        ("", lines(REVIEWS), {}, ["meta_All_Beauty.jsonl", "no items"]),
        (lines(META), lines(REVIEWS), {"text": "{details}"}, ["'details'", "features"]),
        (lines(META), lines(REVIEWS), {"text": ""}, ["neither text nor pictures"]),
        (lines(META), lines(REVIEWS), {"reviews": (Path("x.parquet"),)}, ["x.parquet", "unknown suffix"]),
        (lines(META), lines(REVIEWS), {"reviews": (Path("x.jsonl"),)}, ["x.jsonl", "does not exist"]),
        (lines(META), lines(REVIEWS), {"meta": Path("m.jsonl")}, ["m.jsonl", "does not exist"]),
    ],
)
def test_bad_files(tmp_path: Path, meta: str, reviews: str, options: dict[str, object], words: list[str]) -> None:
    files = write(tmp_path, meta, reviews)
    if options.get("image_urls"):
        options = {"image_urls": tmp_path / "urls.tsv"}
    with pytest.raises(UserError) as caught:
        run(tmp_path, files, **options)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["All_Beauty.jsonl", "meta_All_Beauty.jsonl"]


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(lines(META).encode() * 99)[:200]])
def test_damaged_archives(tmp_path: Path, content: bytes) -> None:
    files = write(tmp_path)
    (tmp_path / "meta.jsonl.gz").write_bytes(content)
    with pytest.raises(UserError, match=r"meta\.jsonl\.gz: the file cannot be read"):
        run(tmp_path, {**files, "meta": tmp_path / "meta.jsonl.gz"})


def test_a_line_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iisan.data.importers.json_blocks.BLOCK_BYTES", 1000)
    monkeypatch.setattr("iisan.data.importers.json_blocks.MAX_LINE_BYTES", 5000)
    files = write(tmp_path)
    (tmp_path / "meta.jsonl.gz").write_bytes(gzip.compress(b"[" * 100_000))
    with pytest.raises(UserError, match="a line has more than 5,000 bytes"):
        run(tmp_path, {**files, "meta": tmp_path / "meta.jsonl.gz"})
