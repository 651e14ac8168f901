from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from iisan.data import Dataset, IisanImport, import_iisan
from iisan.errors import UserError


def run(folder: Path, items: str, users: str, **options: object) -> Dataset:
    folder.mkdir(exist_ok=True)
    (folder / "items.tsv").write_text(items, encoding="utf-8")
    (folder / "users.tsv").write_text(users, encoding="utf-8")
    settings = {"items": folder / "items.tsv", "users": folder / "users.tsv", **options}
    return import_iisan(IisanImport.model_validate(settings), folder / "out")


def test_published_layout(tmp_path: Path) -> None:
    dataset = run(tmp_path, 'B1\tTape &amp; 3" glue\nB2\tSaw\nB3\t\n', "U2\tB2 B1 B2\nU1\tB3\n")
    assert dataset.item_ids == ["B1", "B2", "B3"]
    assert dataset.texts("text") == ['Tape & 3" glue', "Saw", None]
    assert dataset.user_ids == ["U2", "U1"]
    assert dataset.interactions.item.tolist() == [1, 0, 1, 2]
    assert dataset.interactions.user.tolist() == [0, 0, 0, 1]
    assert dataset.interactions.timestamp is None
    dataset.verify()


def test_entities_may_stay(tmp_path: Path) -> None:
    assert run(tmp_path, "B1\tA &amp; B\n", "U\tB1\n", unescape_html=False).titles == ["A &amp; B"]


def test_pictures_by_item_id(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.new("RGB", (4, 4)).save(pictures / "B2.jpg")
    dataset = run(tmp_path, "B1\tA\nB2\tB\n", "U\tB1\n", pictures=pictures)
    paths = dataset.image_paths("image")
    assert paths[0] is None
    assert paths[1] is not None
    assert paths[1].read_bytes() == (pictures / "B2.jpg").read_bytes()


@settings(max_examples=30, deadline=None)
@given(histories=st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=9), min_size=1, max_size=6))
def test_histories_keep_their_order(histories: list[list[int]], tmp_path_factory: pytest.TempPathFactory) -> None:
    items = "".join(f"item{number}\tTitle {number}\n" for number in range(6))
    users = "".join(
        f"user{number}\t{' '.join(f'item{item}' for item in history)}\n" for number, history in enumerate(histories)
    )
    dataset = run(tmp_path_factory.mktemp("iisan"), items, users)
    log = dataset.interactions
    for user, history in enumerate(histories):
        assert log.item[log.user == user].tolist() == history


@pytest.mark.parametrize(
    ("items", "users", "words"),
    [
        ("B1\tA\tB\n", "U\tB1\n", ["items.tsv, line 1", "3 fields instead of 2"]),
        ("B1\tA\nB2\n", "U\tB1\n", ["items.tsv, line 2", "1 fields instead of 2"]),
        ("B1\tA\nB1\tB\n", "U\tB1\n", ["items.tsv, line 2", "'B1' is there already"]),
        ("B1\tA\n", "U\tB1\nV\tB1\nU\tB1\n", ["users.tsv, line 3", "'U' is there already"]),
        ("B1\tA\n", "U\tB1\nV\t \n", ["users.tsv, line 2", "no items"]),
        ("B1\tA\n", "U\tB1 B9\n", ["users.tsv", "'B9'"]),
        ("", "U\tB1\n", ["items.tsv", "empty"]),
        ("B1\tA\n", "", ["users.tsv", "empty"]),
    ],
)
def test_bad_tables(tmp_path: Path, items: str, users: str, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        run(tmp_path, items, users)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert not (tmp_path / "out").exists()
