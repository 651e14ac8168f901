"""``POST /recommend`` and ``POST /recommend/batch``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from iisan.models.recommender import Recommendation
from iisan.serving.answers import BatchAnswer, BatchBody, RecommendAnswer, RecommendBody
from iisan.serving.item_answers import picture_of
from iisan.serving.problems import documented
from iisan.serving.rank_request import RankRequest
from iisan.serving.routes.explain import explained
from iisan.serving.service import Service
from iisan.serving.settings import ServeSettings
from iisan.serving.snapshot import Snapshot
from iisan.serving.within import within

PROBLEMS = documented(400, 408, 413, 422, 503)


def routes(service: Service) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["recommend"])
    settings = service.settings

    @router.post("/recommend", responses={200: {"model": RecommendAnswer}, **PROBLEMS}, response_class=Response)
    async def recommend(body: RecommendBody) -> Response:
        """The next items after a history."""
        [answer] = await answers([body])
        return _json(answer)

    @router.post("/recommend/batch", responses={200: {"model": BatchAnswer}, **PROBLEMS}, response_class=Response)
    async def recommend_batch(body: BatchBody) -> Response:
        """The next items after each of several histories; where one cannot be answered, none is."""
        within(len(body.requests), settings.max_batch, "requests")
        return _json({"answers": await answers(body.requests)})

    async def answers(bodies: Sequence[RecommendBody]) -> list[dict[str, Any]]:
        for body in bodies:
            check(body, settings)
        snapshot = service.snapshot
        async with asyncio.timeout(settings.answer_seconds):
            found = await service.ranking.recommend_many(snapshot, [_request(body) for body in bodies])
            service.metrics.lists.inc(len(found))
            return [await answer(snapshot, body, one) for body, one in zip(bodies, found, strict=True)]

    async def answer(
        snapshot: Snapshot, body: RecommendBody, found: list[Recommendation] | Exception
    ) -> dict[str, Any]:
        if isinstance(found, Exception):
            raise found
        answer: dict[str, Any] = {"items": listed(snapshot, found), "model_version": snapshot.version}
        if body.explain:
            answer["explanation"] = await explained(service, snapshot, body.history, [one.item_id for one in found], 0)
        return answer

    return router


def _request(body: RecommendBody) -> RankRequest:
    modalities = None if body.modalities is None else frozenset(body.modalities)
    return RankRequest(body.history, body.k, body.exclude_seen, body.filters, modalities)


def listed(snapshot: Snapshot, found: Sequence[Recommendation]) -> list[dict[str, Any]]:
    """Recommended items as they are answered."""
    return [
        {
            "item_id": one.item_id,
            "title": one.title,
            "score": one.score,
            "picture": picture_of(snapshot, one.item_id),
        }
        for one in found
    ]


def check(body: RecommendBody, settings: ServeSettings) -> None:
    """Looks at the bounds that the service was started with.

    Raises:
        RequestValidationError: One is exceeded.
    """
    within(len(body.history), settings.max_history, "history")
    within(body.k, settings.max_k, "k")


def _json(answer: dict[str, Any]) -> Response:
    return Response(json.dumps(answer, ensure_ascii=False, separators=(",", ":")), media_type="application/json")
