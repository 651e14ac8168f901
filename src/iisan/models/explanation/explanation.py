"""An explanation as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PartKind = Literal["modality", "own"]


@dataclass(frozen=True, slots=True)
class Part:
    """What one part of an item's content adds to a score.

    Attributes:
        name: The modality, or ``own vector``.
        kind: ``modality``, or ``own`` for the vector that the item learned from what people did with it.
        present: Whether the item has it.
        alone: What it adds to an item that has nothing else.
        shapley: What it adds on average over all orders in which the parts may be added (Shapley 1953).
        without: The score when it alone is left out.
        place_without: Place of the item with that score; None where other items would change as well.
        share: ``|alone|`` divided by the sum of all ``|alone|`` and ``|interplay|``; 0 where they are all 0.
    """

    name: str
    kind: PartKind
    present: bool
    alone: float
    shapley: float
    without: float
    place_without: int | None
    share: float


@dataclass(frozen=True, slots=True)
class ScoreParts:
    """A score taken apart: ``base`` and every ``alone`` and ``interplay`` sum to it; so do ``base`` and ``shapley``.

    Attributes:
        base: The score when every part is left out.
        parts: Modalities by name, then the item's own vector.
        interplay: What the parts add together beyond what each adds alone; negative where they say the same thing.
        interplay_share: As the share of a part.
    """

    base: float
    parts: list[Part]
    interplay: float
    interplay_share: float


@dataclass(frozen=True, slots=True)
class Influence:
    """What one item of the history does to a score.

    Attributes:
        position: 1 for the oldest item that the model reads.
        item_id: Its id.
        title: Its title, None where it has none.
        drop: The score less :attr:`without`: positive where the item speaks for the recommendation. None where it is
            the whole history.
        without: The score after the history without it.
        place_without: Place of the recommended item then.
    """

    position: int
    item_id: str
    title: str | None
    drop: float | None
    without: float | None
    place_without: int | None


@dataclass(frozen=True, slots=True)
class ExplainedItem:
    """Why one item has its score.

    Attributes:
        item_id: Its id.
        title: Its title, None where it has none.
        score: Inner product of user state and item embedding; comparable within one history only.
        place: 1 for the best among what may be offered after this history.
        of_item: The score taken apart by what the item itself is, the history being read as it is; None where its
            content is not known or not used.
        everywhere: The same with parts left out of the item and of every item of the history.
        history: Influence of each item that the model reads, oldest first.
    """

    item_id: str
    title: str | None
    score: float
    place: int
    of_item: ScoreParts | None
    everywhere: ScoreParts | None
    history: list[Influence]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a model recommends what it does after one history.

    Attributes:
        items: Those explained, in the order asked for, or best first.
        history: Ids of the history that the model reads, oldest first.
        n_unread: Older items that it does not read.
        n_candidates: Items that may be offered after this history.
        mean_score: Mean score of those.
        unknown_content: Items at hand whose states are not those that the model knows them by; their embeddings stay
            whole.
    """

    items: list[ExplainedItem]
    history: list[str]
    n_unread: int
    n_candidates: int
    mean_score: float
    unknown_content: list[str]
