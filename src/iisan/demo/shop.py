"""The shop that `iisan demo` draws: pictures, titles and a log, all from one seed."""

from __future__ import annotations

import csv
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from iisan.demo.catalogue import Product, make_catalogue
from iisan.demo.pictures import draw_picture
from iisan.demo.shoppers import SHORTEST_VISIT, Visit, make_log
from iisan.errors import UserError

Progress = Callable[[int, int | None, str], None]
"""Called with how many are done, out of how many, and what is being done."""

_log = logging.getLogger(__name__)

_LABEL = "draw pictures"


class ShopConfig(BaseModel):
    """How large a shop to draw, and from which seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_items: int = Field(600, ge=64, le=9_999, description="Products in the shop.")
    n_shoppers: int = Field(1_500, ge=1, le=99_999, description="Shoppers in the log.")
    mean_length: float = Field(12.0, gt=SHORTEST_VISIT, le=30, description="Interactions of a shopper on average.")
    seed: int = Field(7, ge=0, description="Everything in the shop follows from this number.")
    picture_size: int = Field(224, ge=64, le=1_024, description="Side of each square picture in pixels.")

    @classmethod
    def quick(cls, seed: int = 7) -> ShopConfig:
        """Return a shop a third as large, for a first look."""
        return cls(n_items=200, n_shoppers=600, seed=seed)


def draw_shop(config: ShopConfig, folder: Path, progress: Progress | None = None) -> Path:
    """Draw the sample shop.

    Writes ``items.csv`` (item_id, title, image and the attributes behind the product), ``interactions.csv`` (user_id,
    item_id, timestamp in seconds; oldest first) and ``pictures/ID.jpg``. The same configuration gives the same bytes
    on the same version of Pillow. The folder appears when all of it is done, or not at all.

    Args:
        config: How large a shop, and the seed.
        folder: Where to write; must not exist, or be empty.
        progress: Called after each picture.

    Returns:
        ``folder``.

    Raises:
        UserError: ``folder`` holds something already, or is a file.
    """
    folder = Path(folder)
    _refuse_occupied(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        products = make_catalogue(config.n_items, config.seed)
        _draw_pictures(products, config, draft / "pictures", progress)
        _write_items(products, draft / "items.csv")
        log = make_log(products, config.n_shoppers, config.mean_length, config.seed)
        _write_interactions(products, log, draft / "interactions.csv")
        draft.chmod(0o755)
        draft.replace(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    _log.info("drew %d products and %d interactions in %s", len(products), len(log), folder)
    return folder


def _refuse_occupied(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists() or folder.is_symlink():
        raise UserError("something is there already", where=str(folder), how="name another folder or remove it")


def _draw_pictures(products: Sequence[Product], config: ShopConfig, folder: Path, progress: Progress | None) -> None:
    folder.mkdir()
    for row, product in enumerate(products):
        # A stream for each picture: its pixels do not depend on how many others are drawn.
        rng = np.random.default_rng([config.seed, 4, row])
        picture = draw_picture(product.category, product.colour, product.pattern, config.picture_size, rng)
        picture.save(folder / f"{product.item_id}.jpg", quality=90, subsampling=0)
        if progress is not None:
            progress(row + 1, len(products), _LABEL)


def _write_items(products: Iterable[Product], path: Path) -> None:
    hidden = [field.name for field in fields(Product) if field.name not in ("item_id", "title")]
    rows = (
        [item.item_id, item.title, f"pictures/{item.item_id}.jpg", *(str(getattr(item, name)) for name in hidden)]
        for item in products
    )
    _write_csv(["item_id", "title", "image", *hidden], rows, path)


def _write_interactions(products: Sequence[Product], log: Iterable[Visit], path: Path) -> None:
    rows = ([visit.user_id, products[visit.item_row].item_id, str(visit.timestamp)] for visit in log)
    _write_csv(["user_id", "item_id", "timestamp"], rows, path)


def _write_csv(header: Sequence[str], rows: Iterable[Sequence[str]], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
