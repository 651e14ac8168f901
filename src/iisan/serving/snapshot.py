"""A model with its items at one moment: what requests are answered from."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from iisan.errors import UserError
from iisan.jobs.explanation_basis import Explained, ExplanationBasis
from iisan.models.item_table import ItemTable
from iisan.models.recommender import Recommendation, Recommender
from iisan.serving.catalogue_map import CatalogueMap, MapAxes, Points
from iisan.serving.exact_index import ExactIndex
from iisan.serving.filters import Filters
from iisan.serving.index import Index
from iisan.serving.item_facts import ItemFacts
from iisan.serving.rank_request import RankRequest
from iisan.serving.refusals import StillComputing, UnknownItems
from iisan.serving.title_search import TitleSearch
from iisan.serving.variants import MOST_SETS, Variants

logger = logging.getLogger(__name__)

Answer = list[Recommendation] | Exception


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A model with its items at one moment. Nothing in it changes; any number of threads may read it.

    Attributes:
        recommender: The model, in evaluation mode, with `table` as its item table.
        index: Ranks the items of `table`.
        facts: Attributes and pictures, by row of `table`.
        titles: Finds items by title.
        basis: What explanations rest on.
        variants: Embeddings with modalities left out, of the items that there were when the weights were loaded.
        changed: ``[c]`` int64 rows of items added, replaced or taken back since then.
        axes: The plane of the map; that of the items when the weights were loaded.
        weights: The beginning of the weights' SHA-256.
    """

    recommender: Recommender
    index: Index
    facts: ItemFacts
    titles: TitleSearch
    basis: ExplanationBasis
    variants: Variants
    changed: np.ndarray[tuple[int], np.dtype[np.int64]]
    axes: MapAxes
    weights: str
    _exact: dict[frozenset[str], ExactIndex] = field(default_factory=dict, repr=False)

    @property
    def table(self) -> ItemTable:
        """Ids, titles and embeddings by row."""
        return self.recommender.table

    @property
    def addition(self) -> int:
        """Number of the last addition that is in it (see :class:`~iisan.models.additions.Additions`)."""
        return self.table.last_addition

    @property
    def version(self) -> str:
        """Names weights and items: equal on all machines that serve the same."""
        return f"{self.weights}-{self.addition}"

    def recommend(
        self,
        histories: Sequence[Sequence[str]],
        k: int = 10,
        *,
        exclude_seen: bool = True,
        filters: Filters | None = None,
        modalities: frozenset[str] | None = None,
    ) -> list[list[Recommendation]]:
        """The top items after each history, best first.

        Args:
            histories: Item ids, oldest first, at least one each; the model reads the last ``L``.
            k: Places a list, at least 1.
            exclude_seen: Leave out every item of the history.
            filters: Which items may be offered; None for all.
            modalities: The modalities that are read, all others being left out; None for all.

        Raises:
            UnknownItems: A history has ids that the catalogue lacks.
            UserError: An empty history, a `k` below 1, an attribute or a modality that there is not.
            NotPossible: The modalities of this model cannot be left out.
            StillComputing: The embeddings without a modality are not there yet; they are being computed from now on.
        """
        found = []
        for answer in self.rank([RankRequest(one, k, exclude_seen, filters, modalities) for one in histories]):
            if isinstance(answer, Exception):
                raise answer
            found.append(answer)
        return found

    def rank(self, requests: Sequence[RankRequest]) -> list[Answer]:
        """Answers requests together; the errors of :meth:`recommend` take the place of the answer that they are of."""
        answers: list[Answer] = [[] for _ in requests]
        groups: dict[tuple[object, object], list[tuple[int, list[int]]]] = defaultdict(list)
        for place, request in enumerate(requests):
            try:
                rows = self._rows(request)
                groups[_key(request.filters), self.variants.kept(request.modalities)].append((place, rows))
            except UserError as error:
                answers[place] = error
        for members in groups.values():
            found = self._rank_each([requests[place] for place, _ in members], [rows for _, rows in members])
            for (place, _), answer in zip(members, found, strict=True):
                answers[place] = answer
        return answers

    def _rank_each(self, requests: Sequence[RankRequest], histories: Sequence[list[int]]) -> list[Answer]:
        """Answers requests with the same filters and modalities; should they fail together, each by itself."""
        try:
            return list(self._rank_alike(requests, histories))
        except Exception as error:
            if len(requests) == 1 or isinstance(error, UserError):
                return [error] * len(requests)
            logger.exception("a batch of %d requests failed", len(requests))
        return [self._rank_each([one], [rows])[0] for one, rows in zip(requests, histories, strict=True)]

    @torch.inference_mode()
    def _rank_alike(
        self, requests: Sequence[RankRequest], histories: Sequence[list[int]]
    ) -> list[list[Recommendation]]:
        """Answers requests with the same filters and modalities."""
        filters, kept = requests[0].filters, self.variants.kept(requests[0].modalities)
        passing = None if filters is None or filters.empty else filters.passing(self.table, self.facts)
        index, embeddings = (self.index, self.embeddings) if kept is None else self._variant(kept)
        states = self.recommender.last_states(histories, embeddings)
        k = min(max(request.k for request in requests), len(self.table))
        seen = [rows if request.exclude_seen else [] for request, rows in zip(requests, histories, strict=True)]
        lists = index.best(states, k, seen, passing).lists()
        return [self._recommendations(found[: request.k]) for request, found in zip(requests, lists, strict=True)]

    def _rows(self, request: RankRequest) -> list[int]:
        if request.k < 1:
            raise UserError(f"{request.k} items cannot be recommended", how="ask for 1 or more")
        if not request.history:
            raise UserError("the history is empty", how="give at least one item id")
        return self.rows(request.history)

    def rows(self, item_ids: Sequence[str]) -> list[int]:
        """Catalogue rows of some ids.

        Raises:
            UnknownItems: The catalogue lacks some.
        """
        rows = [self.table.row(item_id) for item_id in item_ids]
        known = [row for row in rows if row is not None]
        if len(known) < len(rows):
            lacking = [item_id for item_id, row in zip(item_ids, rows, strict=True) if row is None]
            raise UnknownItems(list(dict.fromkeys(lacking)))
        return known

    def similar(self, item_id: str, k: int = 10, filters: Filters | None = None) -> list[Recommendation]:
        """The items whose embeddings have the largest cosine with an item's; the score is the cosine.

        Raises:
            UnknownItems: The catalogue lacks the item.
            UserError: A `k` below 1, or an attribute that there is not.
        """
        if k < 1:
            raise UserError(f"{k} items cannot be found", how="ask for 1 or more")
        [row] = self.rows([item_id])
        passing = None if filters is None or filters.empty else filters.passing(self.table, self.facts)
        with torch.inference_mode():
            index = self._directions
            found = index.best(index.embeddings[row : row + 1], min(k, len(self.table)), [[row]], passing)
        return self._recommendations(found.lists()[0])

    def search(self, query: str, limit: int = 20) -> list[str]:
        """Ids of items that have a query's words, or words that begin with them, in their title; best first.

        An item with the query as its id comes first. A query without words finds the most popular items.
        """
        rows = self.titles.find(query, limit)
        named = self.table.row(query.strip())
        if named is not None and not bool(self.table.removed[named]):
            rows = [named, *(row for row in rows if row != named)][:limit]
        return [self.table.item_ids[row] for row in rows]

    def explain(self, history: Sequence[str], item_ids: Sequence[str] | None = None, k: int = 5) -> Explained:
        """Why items have their scores after a history; the top `k` where none are named.

        Scores are taken apart by modality where the states that the model was trained on are at hand; a note says so
        where they are not.

        Raises:
            UnknownItems: The catalogue lacks an id.
            UserError: An empty history.
        """
        self.rows([*history, *(item_ids or [])])
        return self.basis.explain(self.recommender, history, item_ids, k=k)

    @cached_property
    def map(self) -> CatalogueMap:
        """The catalogue on a plane; computed when first asked for."""
        return CatalogueMap.of(self.table.embeddings, self.table.recommendable, self.axes)

    def project(self, rows: Sequence[int]) -> Points:
        """Points ``[n, 2]`` on the map of items by catalogue row."""
        return self.axes.project(self.table.embeddings[torch.tensor(list(rows), dtype=torch.long)])

    def prepare(self, modalities: frozenset[str] | None) -> Future[Tensor] | None:
        """Has embeddings with modalities left out computed, unless they are there; None where none are needed.

        Raises:
            UserError: A modality that there is not, or none at all.
            NotPossible: The modalities of this model cannot be left out.
        """
        kept = self.variants.kept(modalities)
        return None if kept is None else self.variants.of(kept)

    @cached_property
    def embeddings(self) -> Tensor:
        """``[N, d]`` item embeddings on the device that ranks."""
        return self.table.embeddings.to(self.recommender.device)

    @cached_property
    def _directions(self) -> ExactIndex:
        return ExactIndex(torch.nn.functional.normalize(self.embeddings, dim=1), self.table.recommendable)

    def _variant(self, kept: frozenset[str]) -> tuple[ExactIndex, Tensor]:
        index = self._exact.get(kept)
        if index is None:
            future = self.variants.of(kept)
            if not future.done():
                raise StillComputing(
                    f"the items are being read from {' and '.join(sorted(kept))} alone", how="ask again in a moment"
                )
            before = future.result().to(self.recommender.device)
            embeddings = self.embeddings.clone()
            embeddings[: len(before)] = before
            changed = torch.from_numpy(self.changed).to(embeddings.device)
            embeddings[changed] = self.embeddings[changed]
            index = ExactIndex(embeddings, self.table.recommendable)
            while len(self._exact) >= MOST_SETS:
                self._exact.pop(next(iter(self._exact)), None)
            self._exact[kept] = index
        return index, index.embeddings

    def _recommendations(self, found: Sequence[tuple[int, float]]) -> list[Recommendation]:
        item_ids, titles = self.table.item_ids, self.table.titles
        return [Recommendation(item_ids[row], titles[row], score) for row, score in found]


def _key(filters: Filters | None) -> object:
    return None if filters is None or filters.empty else filters.model_dump_json()
