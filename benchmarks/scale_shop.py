"""A made-up shop of any size: two CSV files with short titles and a log of Zipf popularity, seeded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

PER_USER = 10
# Interactions written at once.
CHUNK = 1 << 20
ADJECTIVES = ("Plain", "Small", "Bright", "Heavy", "Quiet", "Folding", "Striped", "Round")
NOUNS = ("Lamp", "Chair", "Kettle", "Notebook", "Scarf", "Wrench", "Basket", "Clock")


def make_shop(folder: Path, n_items: int, n_interactions: int) -> None:
    """Writes ``items.csv`` and ``log.csv``: users with 5 to 15 interactions, in order of time across users."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(n_items)
    _write_items(folder / "items.csv", n_items)
    n_users = max(1, n_interactions // PER_USER)
    user = np.repeat(np.arange(n_users), rng.integers(5, 2 * PER_USER - 4, n_users))
    rng.shuffle(user)
    item = rng.permutation(n_items)[_zipf(rng, n_items, len(user))]
    time = 1_600_000_000 + np.sort(rng.integers(0, 100_000_000, len(user)))
    columns = {"user_id": (user, "U"), "item_id": (item, "B")}
    with arrow_csv.CSVWriter(folder / "log.csv", pa.schema([*((n, pa.string()) for n in columns), _TIME])) as writer:
        for start in range(0, len(user), CHUNK):
            part = slice(start, start + CHUNK)
            arrays = [_ids(values[part], prefix) for values, prefix in columns.values()]
            writer.write(pa.table([*arrays, pa.array(time[part])], names=[*columns, "timestamp"]))


_TIME = pa.field("timestamp", pa.int64())


def _zipf(rng: np.random.Generator, n_items: int, n: int) -> np.ndarray:
    """Ranks drawn with probabilities that fall off as ``1 / rank``."""
    cumulative = np.cumsum(1 / np.arange(1, n_items + 1))
    return np.searchsorted(cumulative, rng.random(n) * cumulative[-1])


def _write_items(path: Path, n_items: int) -> None:
    rows = np.arange(n_items)
    words = [np.array(ADJECTIVES)[rows % len(ADJECTIVES)], np.array(NOUNS)[rows // len(ADJECTIVES) % len(NOUNS)]]
    number = pa.array(rows).cast(pa.string())
    titles = pc.binary_join_element_wise(pa.array(words[0]), pa.array(words[1]), number, " ")
    brands = pc.binary_join_element_wise("Brand", pa.array(rows % 997).cast(pa.string()), " ")
    arrow_csv.write_csv(pa.table({"item_id": _ids(rows, "B"), "title": titles, "brand": brands}), path)


def _ids(rows: np.ndarray, prefix: str) -> pa.Array:
    padded = pc.utf8_lpad(pa.array(rows).cast(pa.string()), 9, padding="0")
    return pc.binary_join_element_wise(prefix, padded, "")
