"""A made-up problem of the paper's size: Scientific's users and items, BERT's and ViT's shapes, random numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from iisan.data.interactions import Interactions
from iisan.data.leave_one_out import leave_one_out
from iisan.data.split import Split
from iisan.jobs.train import recommender_config
from iisan.models.recommender import Recommender
from iisan.states.cached_source import CachedSource
from iisan.states.index import IndexEntry
from iisan.states.same_store import StoreSpec
from iisan.states.sources import ModalityShape
from iisan.states.store import HiddenStateStore
from iisan.states.writer import StoreWriter
from iisan.training.config import TrainConfig

N_ITEMS, N_USERS, N_INTERACTIONS = 20_314, 12_076, 81_711
N_TAPS, WIDTH = 7, 768
SHAPES = {"image": ModalityShape(N_TAPS, WIDTH), "text": ModalityShape(N_TAPS, WIDTH)}


def make_split(n_items: int = N_ITEMS, n_users: int = N_USERS) -> Split:
    """Histories of 5 to 13 items, 6.8 on average, of items whose popularity falls off as in shops."""
    rng = np.random.default_rng(0)
    lengths = 5 + rng.binomial(8, (N_INTERACTIONS / N_USERS - 5) / 8, n_users)
    weights = 1 / np.arange(1, n_items + 1) ** 0.6
    items = rng.permutation(n_items)[rng.choice(n_items, lengths.sum(), p=weights / weights.sum())]
    users = np.repeat(np.arange(n_users), lengths)
    return leave_one_out(Interactions(users, items, None, None, n_users=n_users, n_items=n_items), keep_last=13)


def make_source(folder: Path, n_items: int = N_ITEMS) -> CachedSource:
    """Random float16 states in stores under `folder`, tap 0 the same for every item, read from the map."""
    ids = [str(row) for row in range(n_items)]
    stores = {}
    for seed, name in enumerate(SHAPES):
        generator = torch.Generator().manual_seed(seed)
        constant = torch.randn(1, WIDTH, generator=generator)
        spec = StoreSpec({"model": "random"}, "float16", tuple(range(0, 13, 2)), WIDTH, (0,), constant)
        with StoreWriter(folder / name, spec) as writer:
            for rows in torch.split(torch.arange(n_items), 4096):
                states = torch.randn(len(rows), N_TAPS, WIDTH, generator=generator)
                states[:, 0] = constant
                entries = [IndexEntry(ids[row], f"{row:064x}", at) for at, row in enumerate(rows.tolist())]
                writer.append(states, [_at(entry, writer.next_row) for entry in entries])
        stores[name] = HiddenStateStore.open(folder / name)
    return CachedSource(stores, ids, resident=False)


def make_model(config: TrainConfig, n_items: int = N_ITEMS) -> Recommender:
    """The model of a configuration at the paper's shapes."""
    torch.manual_seed(0)
    return Recommender(recommender_config(config, SHAPES, n_items))


def _at(entry: IndexEntry, start: int) -> IndexEntry:
    return IndexEntry(entry.item_id, entry.content_hash, start + entry.row)
