"""The model that is served: always one whole snapshot, replaced by the next one when the model folder has changed."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import numpy as np
import torch

from iisan.data.dataset import Dataset
from iisan.errors import UserError
from iisan.jobs.encode import states_folder
from iisan.jobs.explanation_basis import ExplanationBasis
from iisan.jobs.recorded_dataset import recorded_dataset
from iisan.models.added_items import AddedItems
from iisan.models.additions import Additions
from iisan.models.file_names import CONFIG, EMBEDDINGS, ITEMS, WEIGHTS
from iisan.models.recommender import Recommender
from iisan.serving.catalogue_map import MapAxes
from iisan.serving.index import IndexOptions
from iisan.serving.item_facts import ItemFacts
from iisan.serving.open_index import open_index
from iisan.serving.snapshot import Snapshot
from iisan.serving.title_search import TitleSearch
from iisan.serving.variants import Variants

logger = logging.getLogger(__name__)

# Digits of the weights' fingerprint in a version.
DIGITS = 12
# Seconds for which the files of a model must have stayed as they are before they are read.
REST_S = 1.0
# What a save replaces, in this order.
_SAVED = (CONFIG, WEIGHTS, EMBEDDINGS, ITEMS)

_Stamp = tuple[tuple[int, int, int] | None, ...]


class LiveModel:
    """A model folder that is being served.

    Readers take :attr:`snapshot` once and use it throughout; they never wait. One thread at a time refreshes.

    Attributes:
        model: The model folder.
        dataset: The dataset that it was trained on, None where it is not at hand.
        problem: Why the folder cannot be read as it is now; None where it can.

    Args:
        model: The model folder.
        dataset: The dataset that it was trained on, None where it is not at hand.
        states: Holds a store of hidden states for each modality.
        device: Where items are ranked.
        index: How.

    Raises:
        UserError: The model or the dataset cannot be read.
    """

    def __init__(
        self, model: Path, dataset: Dataset | None, states: Path | None, device: torch.device, index: IndexOptions
    ) -> None:
        self.model = model
        self.dataset = dataset
        self.device = device
        self.problem: str | None = None
        self._states = states
        self._index = index
        self._refreshing = Lock()
        self._journal = Additions(model)
        self._stamp = self._look()
        self._sighted, self._since = self._stamp, 0.0
        self._failed: object = None
        self._snapshot = self._load()

    @classmethod
    def open(
        cls,
        model: Path,
        *,
        device: torch.device,
        index: IndexOptions | None = None,
        dataset: Path | None = None,
        states: Path | None = None,
    ) -> LiveModel:
        """Opens a model for serving.

        Args:
            model: A model folder or a run folder.
            device: Where items are ranked.
            index: How.
            dataset: The dataset that it was trained on, for attributes, pictures and states; by default the one that
                the run wrote down, and none, with a warning, where it is not there.
            states: Holds a store of hidden states for each modality; by default ``DATASET/states``.

        Raises:
            UserError: The model, or a dataset that was named, cannot be read.
        """
        folder = model / "model" if (model / "model" / CONFIG).is_file() else model
        found = _dataset(folder, dataset)
        if states is None and found is not None:
            states = states_folder(found.path, None)
        return cls(folder, found, states, device, index or IndexOptions())

    @property
    def snapshot(self) -> Snapshot:
        """The model with its items as they are now; take it once a request."""
        return self._snapshot

    def refresh(self) -> bool:
        """Reads what has changed in the model folder, and swaps the snapshot; cheap where nothing has.

        Items that were added are read at once; other weights when their files have stayed as they are for `REST_S`
        seconds, so call this every second or so. What cannot be read is logged and said in :attr:`problem`, and the
        last sound snapshot stays.

        Returns:
            Whether there is a new snapshot.
        """
        with self._refreshing:
            stamp, addition = self._look(), self._journal.last()
            now = stamp, addition, _stat(self._journal.folder)
            if now == self._failed:
                return False  # to read it again would fail again
            try:
                changed = self._refreshed(stamp, addition)
            except UserError as error:
                logger.warning("the model folder has changed and cannot be read: %s", error)
                # Where it lies is left out, being a path of this machine.
                self.problem, self._failed = f"{error.what}; {error.how}", now
                return False
            self.problem, self._failed = None, None
            return changed

    def close(self) -> None:
        """Gives up background work that is not begun."""
        self._snapshot.variants.close()

    def _refreshed(self, stamp: _Stamp, addition: int) -> bool:
        if stamp != self._stamp:
            return self._replaced(stamp)
        before = self._snapshot
        if addition == before.addition:
            return False
        added = self._journal.read(before.addition, before.table.embeddings.shape[1])
        if added:
            self._snapshot = with_additions(before, added)
        return bool(added)

    def _replaced(self, stamp: _Stamp) -> bool:
        """Reads other weights; a save replaces one file after the other, so they must have come to rest."""
        if stamp != self._sighted:
            self._sighted, self._since = stamp, time.monotonic()
        if time.monotonic() - self._since < REST_S:
            return False
        loaded = self._load()
        if self._look() != stamp:
            return False
        # The old one's background work goes on for those who still hold it, and ends with them.
        self._snapshot, self._stamp = loaded, stamp
        return True

    def _look(self) -> _Stamp:
        return tuple(_stat(self.model / name) for name in _SAVED)

    def _load(self) -> Snapshot:
        if not (self.model / CONFIG).is_file():
            raise UserError("the model folder is gone", where=str(self.model), how="put a saved model in its place")
        # Absolute: what reads models would take a relative path that is gone for a hub id, and ask the network for it.
        recommender = Recommender.from_pretrained(self.model.absolute())
        table = recommender.table
        basis = self._basis(recommender)
        recommender.to(self.device).requires_grad_(False)
        facts = ItemFacts.of(table, self.dataset, self.model)
        embeddings = table.embeddings.to(self.device)
        return Snapshot(
            recommender=recommender,
            index=open_index(recommender, embeddings, facts, self._index),
            facts=facts,
            titles=TitleSearch(table.titles, table.item_ids, table.removed.numpy(), facts.popularity),
            basis=basis,
            variants=Variants(recommender, basis),
            changed=np.empty(0, dtype=np.int64),
            axes=MapAxes.of(table.embeddings, table.recommendable.nonzero().flatten()),
            weights=self._journal.fingerprint()[:DIGITS],
        )

    def _basis(self, recommender: Recommender) -> ExplanationBasis:
        if self._states is None:
            return ExplanationBasis.without("the dataset that the model was trained on is not at hand")
        try:
            return ExplanationBasis.open(recommender, self.model, self._states)
        except UserError as error:
            logger.warning("recommendations are not explained by modality: %s", error)
            return ExplanationBasis.without(f"the states that the model was trained on are not at hand ({error.what})")


def with_additions(before: Snapshot, added: Sequence[AddedItems]) -> Snapshot:
    """The next snapshot after some additions, in order; nothing is ranked or read anew but the items added."""
    table = before.table.with_additions(added)
    ids = dict.fromkeys(item_id for one in added for item_id in one.item_ids)
    rows = np.array([table.row(item_id) for item_id in ids], dtype=np.int64)
    recommender = copy.copy(before.recommender)  # the same parameters
    recommender.item_table = table
    facts = before.facts.updated(table, rows.tolist())
    return Snapshot(
        recommender=recommender,
        index=before.index.updated(table.embeddings.to(recommender.device), table.recommendable, rows),
        facts=facts,
        titles=before.titles.updated(table.titles, table.item_ids, table.removed.numpy(), facts.popularity, rows),
        basis=before.basis,
        variants=before.variants,
        changed=np.union1d(before.changed, rows),
        axes=before.axes,
        weights=before.weights,
    )


def _dataset(model: Path, named: Path | None) -> Dataset | None:
    if named is not None:
        return Dataset.open(named)
    try:
        return Dataset.open(recorded_dataset(str(model)))
    except UserError as error:
        logger.warning("no attributes, no pictures and no explanations by modality: %s", error.what)
        return None


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
