"""``GET /healthz``, ``GET /readyz`` and ``GET /metrics``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from iisan.serving.answers import Ready
from iisan.serving.metrics import CONTENT_TYPE
from iisan.serving.service import Service


def routes(service: Service) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["operation"])

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the process is alive; a process that does not answer should be started again."""
        return {"status": "ok"}

    @router.get("/readyz", response_model=Ready)
    async def readyz() -> Any:
        """What the process answers from; while the model is being loaded, nobody answers."""
        snapshot = service.snapshot
        return {
            "ready": True,
            "model_version": snapshot.version,
            "n_items": len(snapshot.table),
            "index": asdict(snapshot.index.report),
            "adding": service.adding,
            "stale": service.live.problem,
        }

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        """Counters in the text format of Prometheus."""
        return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    return router
