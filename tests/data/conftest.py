"""Small tables and pictures on disk, and the folder of real data."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def real_data() -> Path:
    folder = Path(os.environ.get("IISAN_DATA_DIR", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set IISAN_DATA_DIR")
    return folder


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with items.csv, interactions.csv and pictures/: 4 items, 3 users, one item without a picture."""
    folder = tmp_path / "shop"
    (folder / "pictures").mkdir(parents=True)
    for number, colour in enumerate(["red", "green", "blue"]):
        Image.new("RGB", (8, 6 + number), colour).save(folder / "pictures" / f"{number}.png")
    (folder / "items.csv").write_text(
        "item_id,title,genre,image\n"
        'a,"Mug, large",kitchen,pictures/0.png\n'
        "b,Lamp &amp; shade,,pictures/1.png\n"
        'c,"The ""best"" chair",office,pictures/2.png\n'
        "d,,garden,\n",
        encoding="utf-8",
    )
    (folder / "interactions.csv").write_text(
        "user_id,item_id,timestamp,stars\nz,c,5,4\ny,a,7,1\nz,a,5,5\nz,b,1,3\ny,d,2,5\nx,b,3,2\n", encoding="utf-8"
    )
    return folder


@pytest.fixture
def snapshot() -> Callable[[Path], dict[str, bytes]]:
    """All files below a folder with their bytes."""

    def take(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    return take
