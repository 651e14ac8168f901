"""``GET /about``: facts for clients, the web page among them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

import iisan
from iisan.serving.answers import About
from iisan.serving.service import Service
from iisan.serving.upload_size import upload_bytes


def routes(service: Service) -> APIRouter:
    """The route."""
    router = APIRouter(tags=["operation"])

    @router.get("/about", response_model=About)
    async def about() -> Any:
        """What is served, and what can be asked of it."""
        snapshot, settings, adder = service.snapshot, service.settings, service.adder
        dataset = snapshot.recommender.details.get("dataset", {}).get("name")
        why_not_add = "the service is read-only" if adder is None else adder.cannot_add
        return {
            "name": dataset or settings.model.name,
            "version": iisan.__version__,
            "model_version": snapshot.version,
            "n_items": len(snapshot.table),
            "dataset": dataset,
            "modalities": service.modalities,
            "attributes": sorted(snapshot.facts.attributes),
            "has_states": snapshot.basis.why_not is None,
            "why_no_states": snapshot.basis.why_not,
            "can_add": why_not_add is None,
            "why_not_add": why_not_add,
            "needs_token": service.token is not None,
            "max_history": settings.max_history,
            "max_k": settings.max_k,
            "max_batch": settings.max_batch,
            "max_upload": 0 if adder is None else upload_bytes(adder.limits),
            "reads": snapshot.recommender.max_length,
        }

    return router
