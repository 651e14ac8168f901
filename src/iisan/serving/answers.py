"""What requests and answers look like on the wire."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from iisan.models.explanation.explanation import ExplainedItem
from iisan.serving.filters import Filters

ItemId = Annotated[str, Field(max_length=1000)]
# Bounds of the schema; what the service was started with is usually less (see /about).
MOST_HISTORY = 100_000
MOST_K = 10_000
MOST_REQUESTS = 4096

EXAMPLE: dict[str, Any] = {"history": ["P0004", "P0002", "P0031"], "k": 5}


class RecommendBody(BaseModel):
    """A request for recommendations."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [EXAMPLE, {**EXAMPLE, "filters": {"exclude": ["P0007"]}, "explain": True}]},
    )

    history: list[ItemId] = Field(min_length=1, max_length=MOST_HISTORY, description="Item ids, oldest first")
    k: int = Field(10, ge=1, le=MOST_K, description="Number of items; fewer come where fewer may be offered")
    exclude_seen: bool = Field(True, description="Leave out every item of the history")
    filters: Filters | None = Field(None, description="Which items may be offered; all by default")
    modalities: list[str] | None = Field(
        None, min_length=1, max_length=64, description="Modalities that the model is to read; all by default"
    )
    explain: bool = Field(False, description="Say why, as /explain does")


class BatchBody(BaseModel):
    """Several requests for recommendations."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"requests": [EXAMPLE, EXAMPLE]}]})

    requests: list[RecommendBody] = Field(min_length=1, max_length=MOST_REQUESTS)


class ExplainBody(BaseModel):
    """What is to be explained."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"history": EXAMPLE["history"], "item_ids": ["P0007"]}]}
    )

    history: list[ItemId] = Field(min_length=1, max_length=MOST_HISTORY, description="Item ids, oldest first")
    item_ids: list[ItemId] | None = Field(
        None, min_length=1, max_length=MOST_K, description="Items to explain; the best k by default"
    )
    k: int = Field(5, ge=1, le=MOST_K, description="Number of items where none are named")


class ExplainAnswer(BaseModel):
    """Why items have their scores; docs/explaining.md says what each number is."""

    items: list[ExplainedItem]
    history: list[str] = Field(description="Ids that the model reads, oldest first")
    n_unread: int = Field(description="Older items that it does not read")
    n_candidates: int = Field(description="Items that may be offered after this history")
    mean_score: float = Field(description="Mean score of those")
    unknown_content: list[str] = Field(description="Items taken whole, their hidden states being unknown")
    gates: dict[str, dict[str, Any]] = Field(description="The model's gates by tower; the same for every item")
    notes: list[str] = Field(description="What could not be explained")
    model_version: str


class RecommendedItem(BaseModel):
    """An item with its score."""

    item_id: str
    title: str | None
    score: float = Field(description="Comparable within one list only")
    picture: str | None = Field(description="Path of its picture, or null")


class RecommendAnswer(BaseModel):
    """Recommendations, best first."""

    items: list[RecommendedItem]
    model_version: str = Field(description="Changes whenever the model or its items do")
    explanation: ExplainAnswer | None = Field(None, description="Where it was asked for")


class BatchAnswer(BaseModel):
    """A list for each request, in their order."""

    answers: list[RecommendAnswer]


class Item(BaseModel):
    """An item of the catalogue."""

    item_id: str
    title: str | None
    recommendable: bool = Field(description="Whether it is ever offered")
    attributes: dict[str, str]
    picture: str | None = Field(description="Path of its picture, or null")


class Items(BaseModel):
    """Items found."""

    items: list[Item]


class AddedItem(BaseModel):
    """What became of a new item; it is on the disk."""

    item_id: str
    outcome: Literal["added", "replaced", "unchanged"]
    recommendable: bool = Field(description="Whether this process offers it already; the others do within a moment")
    picture: str | None


class MapAnswer(BaseModel):
    """The catalogue on a plane: the first two principal components of the item embeddings."""

    points: list[tuple[float, float, str]] = Field(description="x and y between -1 and 1, and the item's id")
    n_items: int = Field(description="Items that the points are an even sample of")
    shares: tuple[float, float] = Field(description="Share of the variance along x and y")
    placed: list[tuple[float, float, str]] = Field(description="The same of the items asked for, in their order")
    model_version: str


class About(BaseModel):
    """The model and what the service does with it."""

    name: str
    version: str = Field(description="Of iisan")
    model_version: str
    n_items: int
    dataset: str | None
    modalities: dict[str, str] = Field(description="Kind (image or text) of each modality that the model reads")
    attributes: list[str] = Field(description="What filters may name")
    has_states: bool = Field(description="Whether modalities can be left out and scores taken apart by them")
    why_no_states: str | None
    can_add: bool
    why_not_add: str | None
    needs_token: bool
    max_history: int
    max_k: int
    max_batch: int
    max_upload: int = Field(description="Largest body of POST /items in bytes")
    reads: int = Field(description="Items of a history that the model reads, the last ones")


class Ready(BaseModel):
    """Whether the service can answer, and from what."""

    ready: bool
    model_version: str
    n_items: int
    index: dict[str, Any]
    adding: str = Field(description="ready, loading, or why no items can be added")
    stale: str | None = Field(description="Why a changed model could not be taken in; null where none is waiting")
