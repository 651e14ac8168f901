"""What ranks a catalogue: exactly, or approximately where it is long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from iisan.serving.exact_index import Best, IndexReport, Mask, Rows

IndexKind = Literal["auto", "exact", "approximate"]


class IndexOptions(BaseModel):
    """How the catalogue is ranked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: IndexKind = Field(
        "auto", description="exact: score every item; approximate: search the likely ones (FAISS); auto: by size"
    )
    recall: float = Field(
        0.98, gt=0, le=1, description="Recall against exact ranking that an approximate index is set to reach"
    )


class Index(Protocol):
    """Finds the items with the largest inner products."""

    def __len__(self) -> int: ...

    def best(self, states: Tensor, k: int, seen: Sequence[Sequence[int]], passing: Mask | None = None) -> Best:
        """The best items; see :meth:`~iisan.serving.exact_index.ExactIndex.best`."""
        ...

    def updated(self, embeddings: Tensor, offered: Tensor, changed: Rows) -> Index:
        """The index of the catalogue as it is now; this one stays as it is.

        Args:
            embeddings: ``[N, d]``, as many as before or more, on the same device.
            offered: ``[N]`` bool.
            changed: Rows whose embedding is new or that are offered no more.
        """
        ...

    @property
    def report(self) -> IndexReport:
        """What it is, and how well it finds."""
        ...
