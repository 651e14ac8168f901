"""``POST /explain``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from iisan.serving.answers import ExplainAnswer, ExplainBody
from iisan.serving.problems import documented
from iisan.serving.service import Service
from iisan.serving.snapshot import Snapshot
from iisan.serving.within import within

# Each costs a pass over the catalogue.
MOST_EXPLAINED = 20


def routes(service: Service) -> APIRouter:
    """The route."""
    router = APIRouter(tags=["recommend"])

    @router.post("/explain", response_model=ExplainAnswer, responses=documented(400, 408, 413, 422, 503))
    async def explain(body: ExplainBody) -> Any:
        """Why items have their scores after a history: what picture, text and each item of the history add."""
        within(len(body.history), service.settings.max_history, "history")
        within(len(body.item_ids or []), MOST_EXPLAINED, "item_ids")
        within(body.k, MOST_EXPLAINED, "k")
        return await explained(service, service.snapshot, body.history, body.item_ids, body.k)

    return router


async def explained(
    service: Service, snapshot: Snapshot, history: Sequence[str], item_ids: Sequence[str] | None, k: int
) -> dict[str, Any]:
    """An explanation as it is answered; of many items only the first are explained."""
    if item_ids is None:
        found = await service.work.run(snapshot.explain, history, None, k=k)
    else:
        found = await service.work.run(snapshot.explain, history, list(item_ids)[:MOST_EXPLAINED])
    return {
        **asdict(found.explanation),
        "gates": found.gates,
        "notes": found.notes,
        "model_version": snapshot.version,
    }
