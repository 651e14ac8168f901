"""One request for recommendations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from iisan.serving.filters import Filters


@dataclass(frozen=True, slots=True)
class RankRequest:
    """For what history, how many, of which items.

    Attributes:
        history: Item ids, oldest first, at least one.
        k: Number of items, at least 1; the list is shorter where fewer may be offered.
        exclude_seen: Leave out every item of the history.
        filters: Which items may be offered; None for all.
        modalities: The modalities that the model is to read, the others being left out of every item as if it lacked
            them; None for all.
    """

    history: Sequence[str]
    k: int = 10
    exclude_seen: bool = True
    filters: Filters | None = None
    modalities: frozenset[str] | None = None
