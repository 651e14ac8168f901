from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from iisan.data import Dataset, DelimitedImport, import_delimited
from iisan.errors import UserError


def run(shop: Path, reference: str, **options: object) -> Dataset:
    """Import the shop with item 'b' showing another picture."""
    items = (shop / "items.csv").read_text().replace("pictures/1.png", reference)
    (shop / "items.csv").write_text(items)
    settings = {
        "items": shop / "items.csv",
        "interactions": shop / "interactions.csv",
        "image_column": "image",
        **options,
    }
    return import_delimited(DelimitedImport.model_validate(settings), shop / "out")


def make_bad(shop: Path) -> None:
    pictures = shop / "pictures"
    (shop.parent / "secret.png").write_bytes((pictures / "1.png").read_bytes())
    (pictures / "out.png").symlink_to(shop.parent / "secret.png")
    (pictures / "loop.png").symlink_to(pictures / "loop.png")
    (shop / "up").symlink_to(shop.parent)
    (pictures / "text.png").write_text("no picture")
    (pictures / "empty.png").write_bytes(b"")
    Image.new("1", (2000, 1001)).save(pictures / "huge.png")
    (pictures / "vector.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")


BAD = [
    ("../secret.png", "unsafe_path"),
    ("pictures/../../secret.png", "unsafe_path"),
    ("pictures/../pictures/1.png", "unsafe_path"),
    ("/etc/hostname", "unsafe_path"),
    ("pictures/out.png", "unsafe_path"),
    ("up/secret.png", "unsafe_path"),
    ("https://example.org/1.png", "url"),
    ("data:image/png;base64;AAAA", "url"),
    ("//example.org/1.png", "url"),
    ("pictures/none.png", "missing_file"),
    ("pictures/loop.png", "missing_file"),
    ("pictures", "missing_file"),
    ("pictures/text.png", "unreadable"),
    ("pictures/empty.png", "unreadable"),
    ("pictures/vector.svg", "unreadable"),
    ("pictures/huge.png", "too_large"),
]


@pytest.mark.parametrize(("reference", "reason"), BAD)
def test_bad_media_stop_the_import(shop: Path, reference: str, reason: str) -> None:
    make_bad(shop)
    before = sorted(path.name for path in shop.iterdir())
    with pytest.raises(UserError, match="image of item 'b'") as caught:
        run(shop, reference, max_pixels=2_000_000)
    assert "on_bad_media=skip" in str(caught.value)
    assert sorted(path.name for path in shop.iterdir()) == before


@pytest.mark.parametrize(("reference", "reason"), BAD)
def test_bad_media_are_skipped_and_counted(shop: Path, reference: str, reason: str) -> None:
    make_bad(shop)
    dataset = run(shop, reference, max_pixels=2_000_000, on_bad_media="skip")
    paths = dataset.image_paths("image")
    assert [path is not None for path in paths] == [True, False, True, False]
    assert dataset.manifest.source.dropped == {f"image:{reason}": 1}
    assert dataset.manifest.counts.present["image"] == 2
    assert sorted(path.name for path in (shop / "out" / "media" / "pictures").iterdir()) == ["0.png", "2.png"]


def test_an_absolute_path_is_refused_even_inside_the_folder(shop: Path) -> None:
    with pytest.raises(UserError, match="not a plain path relative"):
        run(shop, str(shop / "pictures" / "1.png"))


def test_a_file_may_be_too_large_in_bytes(shop: Path) -> None:
    size = (shop / "pictures" / "2.png").stat().st_size
    with pytest.raises(UserError, match="bytes, more than"):
        run(shop, "pictures/1.png", max_media_bytes=size - 1)


def test_only_the_full_check_finds_a_truncated_picture(shop: Path) -> None:
    whole = shop / "pictures" / "whole.jpg"
    Image.effect_noise((64, 64), 50).save(whole)
    (shop / "pictures" / "cut.jpg").write_bytes(whole.read_bytes()[:-400])
    with pytest.raises(UserError, match=r"image of item 'b'.*damaged"):
        run(shop, "pictures/cut.jpg", check_media="full")
    assert run(shop, "pictures/cut.jpg").manifest.counts.present["image"] == 3


def test_links_inside_the_folder_are_followed_and_shared(shop: Path) -> None:
    (shop / "pictures" / "alias.png").symlink_to("0.png")
    dataset = run(shop, "./pictures/alias.png")
    paths = dataset.image_paths("image")
    assert paths[0] == paths[1]
    assert not any(path.is_symlink() for path in (shop / "out").rglob("*"))
    assert len([path for path in (shop / "out" / "media").rglob("*") if path.is_file()]) == 2


def test_copies_are_independent_and_hard_links_are_not(shop: Path) -> None:
    source = shop / "pictures" / "1.png"
    copied = run(shop, "pictures/1.png").image_paths("image")[1]
    assert copied is not None
    assert not copied.samefile(source)
    linked = run(shop, "pictures/1.png", media_transfer="hardlink", overwrite=True)
    path = linked.image_paths("image")[1]
    assert path is not None
    assert path.samefile(source)
    linked.verify()


def test_another_media_root(shop: Path) -> None:
    assert run(shop, "pictures/1.png", media_root=shop).manifest.counts.present["image"] == 3
    with pytest.raises(UserError, match="media folder does not exist"):
        run(shop, "pictures/1.png", media_root=shop / "nowhere", overwrite=True)
    assert Dataset.open(shop / "out").manifest.counts.present["image"] == 3
