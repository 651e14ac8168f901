"""The file of each user's rank, from which any other metric can be computed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from iisan.data.dataset import Dataset
from iisan.data.split import TargetPart
from iisan.jobs.evaluate_outcome import EvaluateOutcome
from iisan.jobs.output_file import output_file


def write_ranks(path: Path, outcomes: Sequence[EvaluateOutcome], part: TargetPart, dataset: Dataset) -> None:
    """Writes a row for each user, model and split.

    The columns are ``model``, ``split``, ``user_id``, ``target`` and the target's rank under each protocol.

    Raises:
        UserError: The file cannot be written.
    """
    user_ids, item_ids = pa.array(dataset.user_ids, pa.string()), pa.array(dataset.item_ids, pa.string())
    tables = []
    for outcome in outcomes:
        for kind, one in outcome.splits.items():
            histories = one.split.histories(part)
            columns = {
                "model": pa.array([outcome.name] * len(histories), pa.string()),
                "split": pa.array([kind] * len(histories), pa.string()),
                "user_id": user_ids.take(pa.array(histories.users)),
                "target": item_ids.take(pa.array(histories.targets)),
            }
            columns |= {f"rank_{protocol}": pa.array(ranks.numpy()) for protocol, ranks in one.model.ranks.items()}
            tables.append(pa.table(columns))
    with output_file(path) as draft:
        pq.write_table(pa.concat_tables(tables), draft)
