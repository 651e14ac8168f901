"""A dataset without fault, made by the importer, and ways to plant faults in it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from iisan.data.checksum import sha256_of_file
from iisan.data.importers.delimited import DelimitedImport, import_delimited
from iisan.data.manifest import TABLE_FILES

N_ITEMS = 24
N_USERS = 12
N_EACH = 10
START = 1_500_000_000
MINUTE = 60


def sound_shop(folder: Path) -> Path:
    """Import 24 items with text and picture, and 12 users with 10 interactions each, in order of time.

    Every item is trained on, no target repeats the history, and no two items or interactions are alike.
    """
    source = folder / "source"
    (source / "pictures").mkdir(parents=True)
    with (source / "items.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["item_id", "title", "image"])
        for row in range(N_ITEMS):
            # Without compression: all files have one size.
            Image.new("RGB", (8, 8), (10 * row, 255 - 10 * row, 40)).save(source / "pictures" / f"{row}.bmp")
            writer.writerow([f"i{row}", f"article number {row}", f"pictures/{row}.bmp"])
    with (source / "interactions.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["user_id", "item_id", "timestamp"])
        for step in range(N_EACH):
            for user in range(N_USERS):
                time = START + MINUTE * (N_USERS * step + user)
                writer.writerow([f"u{user}", f"i{(2 * user + step) % N_ITEMS}", time])
    config = DelimitedImport(items=source / "items.csv", interactions=source / "interactions.csv", image_column="image")
    return import_delimited(config, folder / "shop").path


def set_values(folder: Path, table: str, column: str, values: dict[int, Any]) -> None:
    """Replace some values of a column, keeping its type."""
    old = pq.read_table(folder / table)
    new = [values.get(row, value) for row, value in enumerate(old.column(column).to_pylist())]
    set_column(folder, table, column, pa.array(new, old.schema.field(column).type))


def set_column(folder: Path, table: str, column: str, values: pa.Array) -> None:
    """Replace a column, so that the checksum in the manifest fits again."""
    old = pq.read_table(folder / table)
    pq.write_table(old.set_column(old.column_names.index(column), column, values), folder / table)
    reseal(folder)


def take_rows(folder: Path, table: str, rows: list[int]) -> None:
    """Keep some rows of a table in this order."""
    pq.write_table(pq.read_table(folder / table).take(pa.array(rows, pa.int64())), folder / table)
    reseal(folder)


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "dataset.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def reseal(folder: Path) -> None:
    """Make the manifest say what is there, as a person who makes a dataset by hand would."""
    tables = {name: pq.read_table(folder / name) for name in TABLE_FILES}

    def change(content: dict[str, Any]) -> None:
        content["sha256"] = {name: sha256_of_file(folder / name) for name in tables}
        for count in ("items", "users", "interactions"):
            content["counts"][count] = tables[f"{count}.parquet"].num_rows
        items = tables["items.parquet"]
        for name in content["modalities"]:
            values = items.column(name).to_pylist()
            content["counts"]["present"][name] = sum(bool(str(one or "").strip()) for one in values)

    edit_manifest(folder, change)
