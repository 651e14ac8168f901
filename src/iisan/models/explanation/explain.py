"""Explains recommendations: every part and every item of the history is left out, and the score taken again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from iisan.models.explanation.coalitions import coalition_embeddings, having, part_names
from iisan.models.explanation.decomposition import Decomposition, decompose
from iisan.models.explanation.explanation import ExplainedItem, Explanation, Influence, Part, ScoreParts
from iisan.models.explanation.histories import leave_each_out
from iisan.models.explanation.places import Places, places
from iisan.models.recommender import Recommender
from iisan.states.sources import ItemStates

# Hidden states of some item ids, `n` rows for `n` ids; an item without states lacks every modality.
StatesOf = Callable[[Sequence[str]], Mapping[str, ItemStates]]

# Embeddings that differ from those of the item table by more than this share of their length are of other content.
SAME_CONTENT = 1e-2


@torch.inference_mode()
def explain(
    model: Recommender,
    history: Sequence[str],
    items: Sequence[str] | None = None,
    *,
    k: int = 5,
    states_of: StatesOf | None = None,
) -> Explanation:
    """Explains why items have their scores after a history.

    Args:
        model: With its item table.
        history: Item ids, oldest first; the model reads the last ``L``.
        items: Ids to explain; the top `k` by default.
        k: Number of items.
        states_of: Gives the hidden states that the model was trained on, on any device; without it, scores are not
            taken apart by modality.

    Raises:
        UserError: An id that the model does not know, an empty history, or a `k` below 1.
    """
    training = model.training
    model.eval()
    try:
        return _explain(model, history, items, k, states_of)
    finally:
        model.train(training)


def _explain(
    model: Recommender, history: Sequence[str], items: Sequence[str] | None, k: int, states_of: StatesOf | None
) -> Explanation:
    known = model.known_rows(history)
    if items is None:
        items = [one.item_id for one in model.recommend([history], k)[0]]
    wanted, read = model.known_rows(items) if items else [], known[-model.max_length :]
    at_hand = _AtHand.of(model, read, wanted, states_of)
    slots = leave_each_out(at_hand.slots(read))
    states = model.user_states(at_hand.items, slots)[:, -1]  # [S, d], the first after the whole history
    scores = states @ at_hand.items[at_hand.slots(wanted) - 1].T  # [S, K]
    of_item, everywhere = at_hand.decompositions(model, states[0], read, wanted)
    without = scores.new_empty(0, len(wanted)) if of_item is None else of_item.without.to(scores)
    table = model.table
    candidates = table.recommendable.clone()
    candidates[known] = False
    rows = torch.tensor(wanted, dtype=torch.long)
    found = places(states, table.embeddings.to(model.device), candidates, rows, scores, without)
    return Explanation(
        items=[
            ExplainedItem(
                item_id=table.item_ids[row],
                title=table.titles[row],
                score=float(scores[0, place]),
                place=int(found.by_state[0, place]),
                of_item=at_hand.parts(model, of_item, row, place, found.by_score),
                everywhere=at_hand.parts(model, everywhere, row, place, None),
                history=_influences(model, read, scores[:, place], found, place),
            )
            for place, row in enumerate(wanted)
        ],
        history=[table.item_ids[row] for row in read],
        n_unread=len(known) - len(read),
        n_candidates=found.n_candidates,
        mean_score=found.mean_score,
        unknown_content=at_hand.unknown(model),
    )


@dataclass(frozen=True, eq=False)
class _AtHand:
    """The ``n`` distinct items of a history and of what is explained.

    Attributes:
        rows: ``[n]`` catalogue rows.
        items: ``[n, d]`` embeddings.
        coalitions: ``[2^P, n, d]`` embeddings with every subset of parts left out; None without parts.
        present: ``[P, n]`` bool, which item has which part.
        known: ``[n]`` bool, False where an item's states are not those that the model knows it by.
    """

    rows: Tensor
    items: Tensor
    coalitions: Tensor | None = None
    present: Tensor | None = None
    known: Tensor | None = None

    @classmethod
    def of(
        cls, model: Recommender, history: Sequence[int], wanted: Sequence[int], states_of: StatesOf | None
    ) -> _AtHand:
        rows = torch.tensor(list(dict.fromkeys([*history, *wanted])), device=model.device)
        kept = model.table.embeddings[rows.cpu()].to(model.device)
        if states_of is None or not part_names(model):
            return cls(rows, kept)
        ids = [model.table.item_ids[row] for row in rows.tolist()]
        states = {name: one.to(model.device) for name, one in states_of(ids).items()}
        coalitions = coalition_embeddings(model, states, rows)
        far = (coalitions[-1] - kept).norm(dim=1) > SAME_CONTENT * kept.norm(dim=1).clamp_min(1e-6)
        coalitions[:, far] = kept[far]
        return cls(rows, coalitions[-1], coalitions, having(model, states, rows), ~far)

    def slots(self, rows: Sequence[int]) -> Tensor:
        """Places of catalogue rows among the items at hand, plus one."""
        place = {row: number + 1 for number, row in enumerate(self.rows.tolist())}
        return torch.tensor([place[row] for row in rows], dtype=torch.long, device=self.rows.device)

    def decompositions(
        self, model: Recommender, state: Tensor, history: Sequence[int], wanted: Sequence[int]
    ) -> tuple[Decomposition | None, Decomposition | None]:
        """Scores taken apart by the item's parts, and by the parts of all items at hand."""
        if self.coalitions is None:
            return None, None
        subsets, n, dim = self.coalitions.shape
        items = self.coalitions[:, self.slots(wanted) - 1]  # [2^P, K, d]
        offsets = torch.arange(subsets, device=self.rows.device)[:, None] * n
        histories = self.slots(history) + offsets  # [2^P, m]
        states = model.user_states(self.coalitions.reshape(-1, dim), histories)[:, -1]  # [2^P, d]
        return decompose(items @ state), decompose((items @ states.unsqueeze(2)).squeeze(2))

    def parts(
        self, model: Recommender, found: Decomposition | None, row: int, place: int, places_without: Tensor | None
    ) -> ScoreParts | None:
        """The decomposition of one item's score; None where its content is not known."""
        number = int(self.slots([row])) - 1
        if found is None or self.known is None or self.present is None or not bool(self.known[number]):
            return None
        alone, interplay = found.alone[:, place], float(found.interplay[place])
        whole = float(alone.abs().sum()) + abs(interplay)
        parts = [
            Part(
                name=part.name,
                kind=part.kind,
                present=bool(self.present[p, number]),
                alone=float(alone[p]),
                shapley=float(found.shapley[p, place]),
                without=float(found.without[p, place]),
                place_without=None if places_without is None else int(places_without[p, place]),
                share=_share(float(alone[p]), whole),
            )
            for p, part in enumerate(part_names(model))
        ]
        return ScoreParts(float(found.base[place]), parts, interplay, _share(interplay, whole))

    def unknown(self, model: Recommender) -> list[str]:
        if self.known is None:
            return []
        return [model.table.item_ids[row] for row in self.rows[~self.known].tolist()]


def _share(value: float, whole: float) -> float:
    return abs(value) / whole if whole > 0 else 0.0


def _influences(
    model: Recommender, history: Sequence[int], scores: Tensor, found: Places, place: int
) -> list[Influence]:
    """Influence of each item of a history on one score; `scores` ``[S]``, the first after the whole history."""
    table, influences = model.table, []
    for number, row in enumerate(history):
        title, item_id = table.titles[row], table.item_ids[row]
        if len(scores) == 1:
            influences.append(Influence(number + 1, item_id, title, None, None, None))
            continue
        without = float(scores[number + 1])
        drop = float(scores[0]) - without
        influences.append(Influence(number + 1, item_id, title, drop, without, int(found.by_state[number + 1, place])))
    return influences
