"""Item embeddings with modalities left out, computed in the background when they are first asked for."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

import torch
from torch import Tensor

from iisan.errors import UserError
from iisan.jobs.explanation_basis import ExplanationBasis
from iisan.models.explanation.coalitions import OWN_VECTOR, embeddings_of_parts, part_names
from iisan.models.explanation.explain import SAME_CONTENT
from iisan.models.recommender import Recommender
from iisan.serving.refusals import NotPossible
from iisan.states.cached_source import CachedSource

logger = logging.getLogger(__name__)

# Sets of modalities whose embeddings are kept; of three modalities there are six.
MOST_SETS = 6
CHUNK = 4096


class Variants:
    """Embeddings of a model's items with only some modalities there, as if every item lacked the others.

    They are of the items that the model had when it was loaded. An item whose stored states are not those that the
    model knows it by keeps its whole embedding; an item's own vector stays.

    Args:
        recommender: The model with its item table.
        basis: The states that it was trained on.
    """

    def __init__(self, recommender: Recommender, basis: ExplanationBasis) -> None:
        self._recommender = recommender
        self._basis = basis
        self._lock = Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="iisan-variants")
        self._sets: OrderedDict[frozenset[str], Future[Tensor]] = OrderedDict()

    @property
    def modalities(self) -> list[str]:
        """The modalities that the model reads, by name; those of a model that cannot leave any out too."""
        return [part.name for part in part_names(self._recommender) if part.kind == "modality"]

    @property
    def why_not(self) -> str | None:
        """Why no modality can be left out; None where they can."""
        if self._basis.why_not is not None:
            return self._basis.why_not
        return "the model reads one modality only" if len(self.modalities) < 2 else None

    def kept(self, modalities: Collection[str] | None) -> frozenset[str] | None:
        """The same set, or None where it is all of them.

        Raises:
            UserError: A modality that the model does not read, or none at all.
            NotPossible: Modalities of this model cannot be left out.
        """
        if modalities is None:
            return None
        wanted, known = frozenset(modalities), self.modalities
        if unknown := sorted(wanted - set(known)):
            there = ", ".join(known) or "none"
            raise UserError(f"the model reads no modality {unknown[0]!r}", how=f"it reads: {there}")
        if len(wanted) == len(known):
            return None
        if self.why_not is not None:
            raise NotPossible(f"no modality can be left out: {self.why_not}")
        if not wanted:
            raise UserError("all modalities are left out", how="keep at least one")
        return wanted

    def of(self, kept: frozenset[str]) -> Future[Tensor]:
        """Embeddings ``[N, d]`` on the CPU, at once or later; one set is computed at a time.

        Args:
            kept: The modalities that stay, as :meth:`kept` gives them.
        """
        with self._lock:
            found = self._sets.get(kept)
            if found is None or (found.done() and found.exception() is not None):
                found = self._sets[kept] = self._worker.submit(self._compute, kept)
            self._sets.move_to_end(kept)
            while len(self._sets) > MOST_SETS:
                self._sets.popitem(last=False)[1].cancel()
            return found

    def close(self) -> None:
        """Gives up what is not begun."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    @torch.inference_mode()
    def _compute(self, kept: frozenset[str]) -> Tensor:
        start = time.perf_counter()
        model = self._recommender
        table = model.table
        # Not resident: one pass over the states is all that is needed.
        source = CachedSource(self._basis.stores, table.item_ids, device=model.device, resident=False)
        embeddings = table.embeddings.clone()
        parts = kept | {OWN_VECTOR}
        whole = {part.name for part in part_names(model)}
        for rows in torch.split(torch.arange(len(table)), CHUNK):
            states, on_device = source.gather(rows), rows.to(model.device)
            known = table.embeddings[rows].to(model.device)
            far = (embeddings_of_parts(model, states, on_device, whole) - known).norm(dim=1)
            same = (far <= SAME_CONTENT * known.norm(dim=1).clamp_min(1e-6)).cpu()
            embeddings[rows[same]] = embeddings_of_parts(model, states, on_device, parts).cpu()[same]
        logger.info("embeddings from %s alone: %.1f s", " and ".join(sorted(kept)), time.perf_counter() - start)
        return embeddings
