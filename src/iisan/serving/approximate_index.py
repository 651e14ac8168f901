"""The best items of a long catalogue, looked for where they are likely to be."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from iisan.serving.cells import Cells
from iisan.serving.exact_index import Best, ExactIndex, IndexReport, Mask, Rows, in_some, largest

logger = logging.getLogger(__name__)

# By how much more cells are searched where too little was found.
MORE = 1.5
# Of so few items that pass a filter, all are scored.
FEW = 20_000
# More places than this are not looked for in cells.
MOST_PLACES = 1024
# Items kept beside the cells, at least and as a share of the catalogue, before they are put in.
MOST_LATER, LATER_SHARE = 5_000, 0.01


class ApproximateIndex:
    """Searches the cells of items nearest to a user, and scores what is beside them.

    Items that came after the cells were made are beside them and are all scored; when there are many, a copy of the
    cells takes them in, so that whoever searches the old ones is not disturbed. Where cells hold too few items for a
    list, every item is scored: a list is never shorter than it need be.

    Args:
        exact: All items.

    Raises:
        UserError: FAISS is not installed.
    """

    def __init__(self, exact: ExactIndex) -> None:
        start = time.perf_counter()
        self.exact = exact
        rows = exact.offered.nonzero().flatten().cpu().numpy()
        self._cells = Cells(exact.embeddings.cpu().numpy()[rows], rows)
        self._sound = exact.offered.cpu().numpy().copy()  # [N], what the cells hold as it is now
        self._all_sound = True
        self._later: Rows = np.empty(0, dtype=np.int64)
        self.probes = 1
        self._report = IndexReport("approximate", len(exact))
        logger.info("%d items in %d cells: %.1f s", len(rows), self._cells.count, time.perf_counter() - start)

    def __len__(self) -> int:
        return len(self.exact)

    @property
    def report(self) -> IndexReport:
        """What it is, and how well it finds."""
        return replace(self._report, items=len(self))

    def tune(self, states: Tensor, k: int, recall: float, share: float = 1.0) -> None:
        """Searches more cells until enough of the exact best items are found; :attr:`report` says what came of it.

        Args:
            states: ``[B, d]`` user states to measure with.
            k: Places each.
            recall: Share to be found.
            share: Of the cells, at most so many are searched, even if that finds too little.
        """
        most = max(1, round(share * self._cells.count))
        nothing: list[list[int]] = [[] for _ in states]
        wanted = self.exact.best(states, k, nothing).rows
        self.probes = 1
        while True:
            found = in_some(self.best(states, k, nothing).rows, wanted)
            if found >= recall or self.probes >= most:
                break
            self.probes = min(max(self.probes + 1, round(MORE * self.probes)), most)
        self._report = IndexReport("approximate", len(self), found, k, len(states), self.probes, self._cells.count)
        logger.info("%s", self._report)

    def best(self, states: Tensor, k: int, seen: Sequence[Sequence[int]], passing: Mask | None = None) -> Best:
        """The best items; see :meth:`~iisan.serving.exact_index.ExactIndex.best`."""
        places = k + max((len(set(line)) for line in seen), default=0)
        share = 1.0 if passing is None else float(passing.mean())
        if places > MOST_PLACES or share * len(self) <= FEW:
            return self.exact.best(states, k, seen, passing)
        allowed = self._allowed(passing)
        # Of the items in a cell a filter lets in some only, so that as many as before lie in more cells.
        probes = int(min(np.ceil(self.probes / share), self._cells.count))
        scores, rows = self._cells.search(states.cpu().float().numpy(), places, probes, allowed)
        found = self._beside(states, Best(torch.from_numpy(scores), torch.from_numpy(rows)), passing)
        for number, line in enumerate(seen):
            if line:
                found.scores[number, torch.isin(found.rows[number], torch.tensor(list(line)))] = -torch.inf
        chosen = largest(found.scores, min(k, found.scores.shape[1]))
        found = Best(chosen.scores, found.rows.gather(1, chosen.rows)).to(states.device)
        return self._filled(states, k, seen, passing, found)

    def _allowed(self, passing: Mask | None) -> Mask | None:
        """What may be found in cells, ``[N]`` bool; None for all that is in them."""
        if passing is not None:
            return self._sound & passing
        return None if self._all_sound else self._sound

    def _beside(self, states: Tensor, found: Best, passing: Mask | None) -> Best:
        """What was found in cells, and what is beside them."""
        found.scores[found.rows < 0] = -torch.inf
        rows = torch.from_numpy(self._later)
        if not len(rows):
            return found
        offered = self.exact.offered.cpu()[rows]
        if passing is not None:
            offered &= torch.from_numpy(passing)[rows]
        scores = (states @ self.exact.embeddings[rows.to(states.device)].T).cpu()
        scores[:, ~offered] = -torch.inf
        return Best(torch.cat([found.scores, scores], dim=1), torch.cat([found.rows, rows.expand(len(scores), -1)], 1))

    def _filled(self, states: Tensor, k: int, seen: Sequence[Sequence[int]], passing: Mask | None, found: Best) -> Best:
        """Ranks those exactly whose list came out too short."""
        short = (found.scores == -torch.inf).any(dim=1).nonzero().flatten().tolist()
        if found.scores.shape[1] < min(k, len(self)):
            return self.exact.best(states, k, seen, passing)
        if short:
            whole = self.exact.best(states[short], k, [seen[number] for number in short], passing)
            width = whole.scores.shape[1]
            found.scores[short] = -torch.inf
            found.scores[short, :width], found.rows[short, :width] = whole.scores, whole.rows
        return found

    def updated(self, embeddings: Tensor, offered: Tensor, changed: Rows) -> ApproximateIndex:
        """The index of the catalogue as it is now; this one stays as it is."""
        twin = copy.copy(self)
        twin.exact = ExactIndex(embeddings, offered)
        twin._later = np.union1d(self._later, changed)
        twin._sound = np.append(self._sound, np.zeros(len(embeddings) - len(self), dtype=bool))
        twin._sound[changed] = False
        twin._all_sound = False
        if len(twin._later) > max(MOST_LATER, LATER_SHARE * len(embeddings)):
            twin._take_in()
        return twin

    def _take_in(self) -> None:
        """Puts what is beside the cells into a copy of them."""
        rows = self._later[self.exact.offered.cpu().numpy()[self._later]]
        vectors = self.exact.embeddings[torch.from_numpy(rows).to(self.exact.embeddings.device)].cpu().numpy()
        self._cells = self._cells.with_items(vectors, rows, self._later)
        self._sound[rows] = True
        self._later = np.empty(0, dtype=np.int64)
        self._all_sound = True
