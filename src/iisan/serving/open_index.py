"""Chooses what ranks a catalogue."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from iisan.models.recommender import Recommender
from iisan.serving.approximate_index import ApproximateIndex
from iisan.serving.exact_index import ExactIndex
from iisan.serving.index import Index, IndexOptions
from iisan.serving.item_facts import ItemFacts

logger = logging.getLogger(__name__)

# Of up to so many items all are scored; see docs/serving-ranking.md for what was measured.
EXACT_UP_TO = 100_000
# Searching a larger share of the cells takes longer than scoring every item for many users at once.
WORTH_IT = 0.1
# Histories that recall is measured on, places each, and items of a history.
MEASURED, PLACES, LENGTH = 200, 10, 10
SEED = 1


def open_index(recommender: Recommender, embeddings: Tensor, facts: ItemFacts, options: IndexOptions) -> Index:
    """The index of a model's items; an approximate one is set to the recall asked for, which is logged.

    Args:
        recommender: The model with its item table.
        embeddings: ``[N, d]`` of the table, on the device that ranks.
        facts: For histories to measure with.
        options: Exact, approximate, or by size. By size a GPU ranks exactly whatever the size, and so does a CPU where
            cells are no help, as with embeddings that lie evenly in all directions.

    Raises:
        UserError: An approximate index is asked for, and FAISS is not installed.
    """
    exact = ExactIndex(embeddings, recommender.table.recommendable)
    by_size = len(embeddings) > EXACT_UP_TO and embeddings.device.type == "cpu"
    if options.kind == "exact" or (options.kind == "auto" and not by_size) or not bool(exact.offered.any()):
        return exact
    index = ApproximateIndex(exact)
    share = WORTH_IT if options.kind == "auto" else 1.0
    with torch.inference_mode():
        states = recommender.last_states(sample_histories(facts), embeddings)
        index.tune(states, min(PLACES, len(embeddings)), options.recall, share)
    if index.report.recall >= options.recall:
        return index
    logger.warning(
        "every item is scored: a tenth of the cells holds %.3f of the best items, not %.3f",
        index.report.recall,
        options.recall,
    )
    return exact


def sample_histories(facts: ItemFacts) -> list[list[int]]:
    """Histories of catalogue rows: of users of the dataset where it is at hand, else made up of random items."""
    random = np.random.default_rng(SEED)
    made_up: Sequence[list[int]] = random.integers(len(facts.table), size=(MEASURED, LENGTH)).tolist()
    if facts.dataset is None:
        return list(made_up)
    log = facts.dataset.interactions
    users = random.choice(log.n_users, size=min(MEASURED, log.n_users), replace=False)
    starts, ends = np.searchsorted(log.user, users), np.searchsorted(log.user, users, side="right")
    ids = facts.dataset.item_ids
    found = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        rows = [facts.table.row(ids[item]) for item in log.item[max(start, end - LENGTH) : end].tolist()]
        found.append([row for row in rows if row is not None])
    return [history for history in found if history] or list(made_up)
