"""Histories to recommend for: from a file, or every user of a dataset."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from iisan.data.dataset import Dataset
from iisan.errors import UserError


@dataclass(frozen=True, slots=True)
class History:
    """Whom to recommend for.

    Attributes:
        user_id: A name for the answer.
        items: Item ids, oldest first.
    """

    user_id: str
    items: list[str]


def read_histories(path: Path) -> list[History]:
    """Reads a file of histories, oldest item first.

    JSON lines: ``{"user_id": …, "history": [ids]}``. Parquet: columns ``user_id`` and ``history`` (a list). Any other
    file: a line a user, ``user<TAB>ids separated by spaces``.

    Raises:
        UserError: The file or one of its lines cannot be read.
    """
    if not path.is_file():
        raise UserError("no such file", where=str(path), how="name a file of histories")
    try:
        if path.suffix == ".parquet":
            return list(_from_parquet(path))
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise UserError(
            f"not a file of histories ({error})", where=str(path), how="see `iisan recommend --help` for the formats"
        ) from error
    parse = _json_line if path.suffix in {".jsonl", ".json"} else _plain_line
    return [parse(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1) if line.strip()]


def dataset_histories(dataset: Dataset) -> list[History]:
    """The whole history of every user of a dataset."""
    log = dataset.interactions
    bounds = np.searchsorted(log.user, np.arange(log.n_users + 1))
    return [
        History(user_id, [dataset.item_ids[row] for row in log.item[start:end]])
        for user_id, start, end in zip(dataset.user_ids, bounds[:-1], bounds[1:], strict=True)
    ]


def _from_parquet(path: Path) -> Iterator[History]:
    table = pq.read_table(path, columns=["user_id", "history"])
    pairs = zip(table["user_id"].to_pylist(), table["history"].to_pylist(), strict=True)
    for number, (user_id, items) in enumerate(pairs, start=1):
        yield _history(user_id, items, f"{path}, row {number}")


def _json_line(line: str, where: str) -> History:
    try:
        data: Any = json.loads(line)
        user_id, items = data["user_id"], data["history"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError("not a history", where=where, how='write {"user_id": "…", "history": ["…"]}') from error
    return _history(user_id, items, where)


def _history(user_id: Any, items: Any, where: str) -> History:
    """A history from what a file holds; a text is refused, for its letters would pass for items."""
    if not isinstance(items, list) or not all(isinstance(one, str | int) for one in [user_id, *items]):
        raise UserError("not a history", where=where, how="give a user id and a list of item ids")
    return History(str(user_id), [str(item) for item in items])


def _plain_line(line: str, where: str) -> History:
    user_id, tab, items = line.partition("\t")
    if not tab:
        raise UserError("no tab", where=where, how="write the user, a tab, and item ids separated by spaces")
    return History(user_id, items.split())
