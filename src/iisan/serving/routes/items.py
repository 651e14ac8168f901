"""``GET /items``, ``GET /items/{id}`` with its picture, and ``GET /similar/{id}``."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from iisan.serving.answers import Item, Items, RecommendAnswer
from iisan.serving.conditional import tagged
from iisan.serving.item_answers import item_answer, known_row
from iisan.serving.item_paths import ItemIdInPath
from iisan.serving.problems import documented
from iisan.serving.routes.recommend import listed
from iisan.serving.service import Service
from iisan.serving.snapshot import Snapshot

# A picture changes when its item is replaced.
PICTURE_CACHE = "max-age=60"

Title = Annotated[str, Query(max_length=200, description="Words of the title; empty for any", examples=["red lamp"])]
Limit = Annotated[int, Query(ge=1, le=100, description="Most items")]


def routes(service: Service) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["items"])

    @router.get("/items", response_model=Items, responses=documented(422, 503))
    async def search(query: Title = "", limit: Limit = 20) -> Any:
        """Items by title, best first."""
        snapshot = service.snapshot
        found = await service.work.run(snapshot.search, query, limit)
        rows = [row for item_id in found if (row := known_row(snapshot, item_id)) is not None]
        return {"items": [item_answer(snapshot, row) for row in rows]}

    @router.get("/items/{item_id}", response_model=Item, responses=documented(404, 422))
    async def item(item_id: ItemIdInPath) -> Any:
        """One item."""
        snapshot = service.snapshot
        return item_answer(snapshot, _row(snapshot, item_id))

    @router.get(
        "/items/{item_id}/picture",
        response_class=Response,
        responses={
            200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}},
            304: {"description": "The client has it"},
            **documented(404, 422, 503),
        },
    )
    async def picture(request: Request, item_id: ItemIdInPath) -> Response:
        """The picture of an item, scaled down, as a JPEG."""
        snapshot = service.snapshot
        path = snapshot.facts.picture_of(_row(snapshot, item_id))
        found = None if path is None else await service.decoding.run(service.thumbnails.of, path)
        if found is None:
            raise HTTPException(404, "the item has no picture")
        return tagged(request, found.content, "image/jpeg", found.tag, PICTURE_CACHE)

    @router.get("/similar/{item_id}", response_model=RecommendAnswer, responses=documented(404, 422, 503))
    async def similar(item_id: ItemIdInPath, k: Annotated[int, Query(ge=1, le=1000)] = 10) -> Any:
        """The items whose embeddings are most like this one's, by their cosine."""
        snapshot = service.snapshot
        _row(snapshot, item_id)
        found = await service.work.run(snapshot.similar, item_id, min(k, service.settings.max_k), None)
        return {"items": listed(snapshot, found), "model_version": snapshot.version}

    return router


def _row(snapshot: Snapshot, item_id: str) -> int:
    row = known_row(snapshot, item_id)
    if row is None:
        raise HTTPException(404, f"item {item_id!r} is not in the catalogue; check the id")
    return row
