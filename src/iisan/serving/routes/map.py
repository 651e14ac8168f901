"""``GET /map``: the catalogue on a plane."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from iisan.serving.answers import MapAnswer
from iisan.serving.conditional import tagged
from iisan.serving.item_answers import known_row
from iisan.serving.problems import documented
from iisan.serving.service import Service
from iisan.serving.snapshot import Snapshot

DIGITS = 4
MOST_PLACED = 500

Placed = Annotated[
    list[Annotated[str, Query(max_length=1000)]],
    Query(max_length=MOST_PLACED, description="Items that are to be placed in any case; unknown ones are left out"),
]


def routes(service: Service) -> APIRouter:
    """The route."""
    router = APIRouter(tags=["items"])

    @router.get(
        "/map",
        response_class=Response,
        responses={200: {"model": MapAnswer}, 304: {"description": "The client has it"}, **documented(422, 503)},
    )
    async def catalogue_map(request: Request, item_id: Placed = []) -> Response:  # noqa: B006
        """The item embeddings on a plane: those of a sample of the catalogue, and of the items named."""
        snapshot = service.snapshot
        content = await service.work.run(_drawn, snapshot, item_id)
        return tagged(request, content, "application/json", _tag(snapshot, item_id), "no-cache")

    return router


def _drawn(snapshot: Snapshot, placed: list[str]) -> bytes:
    drawn = snapshot.map
    rows = [row for item_id in placed if (row := known_row(snapshot, item_id)) is not None]
    answer = {
        "points": _points(snapshot, drawn.rows.tolist(), drawn.points.tolist()),
        "n_items": drawn.n_items,
        "shares": drawn.axes.shares,
        "placed": _points(snapshot, rows, snapshot.project(rows).tolist()),
        "model_version": snapshot.version,
    }
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _points(snapshot: Snapshot, rows: list[int], points: list[list[float]]) -> list[tuple[float, float, str]]:
    ids = snapshot.table.item_ids
    return [(round(x, DIGITS), round(y, DIGITS), ids[row]) for row, (x, y) in zip(rows, points, strict=True)]


def _tag(snapshot: Snapshot, placed: list[str]) -> str:
    # Not Python's hash, which differs from process to process: a replica's answer is as good as this one's.
    asked = hashlib.sha256(json.dumps(placed).encode("utf-8")).hexdigest()
    return f'"{snapshot.version}-{asked[:16]}"'
