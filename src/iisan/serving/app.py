"""The application: routes, and around them what every request goes through."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

import iisan
from iisan.serving.body_limit import BodyLimit
from iisan.serving.in_hand import InHand
from iisan.serving.item_paths import RawItemPaths
from iisan.serving.metrics import Measured
from iisan.serving.problems import Problem, documented, handle_problems
from iisan.serving.routes import about, additions, explain, health, items, map, page, recommend
from iisan.serving.same_site import SameSite
from iisan.serving.security_headers import SecurityHeaders
from iisan.serving.service import Service
from iisan.serving.upload_size import upload_bytes

DESCRIPTION = """
Next-item recommendations from a model of iisan. Items are named by the ids of the catalogue. In a path, an id is
percent-encoded, slashes too. Errors are problem details (RFC 9457) with one sentence that says what is wrong.
"""


def build_app(service: Service) -> ASGIApp:
    """The application of one process.

    Args:
        service: What it serves from; its background work begins and ends with the application's lifespan.
    """
    settings = service.settings
    uploads = {} if service.adder is None else {"/items": upload_bytes(service.adder.limits)}
    app: ASGIApp = build_api(service)
    app = RawItemPaths(app)
    app = BodyLimit(app, most=settings.max_body, of_paths=uploads, seconds=settings.body_seconds)
    app = InHand(app, most=settings.max_requests, metrics=service.metrics)
    if settings.cors_origin:
        app = CORSMiddleware(
            app,
            allow_origins=settings.cors_origin,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
        )
    app = SameSite(app, hosts=settings.host_names, origins=settings.cors_origin)
    app = Measured(app, service.metrics)
    return SecurityHeaders(app, shared=bool(settings.cors_origin))


def build_api(service: Service) -> FastAPI:
    """The routes alone."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    # Swagger's and Redoc's pages would load scripts from a foreign server.
    app = FastAPI(
        title="iisan",
        version=iisan.__version__,
        description=DESCRIPTION.strip(),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        # The head of any request may be too long.
        responses=documented(431),
    )
    handle_problems(app)
    for room in (recommend, explain, items, additions, map, about, health, page):
        app.include_router(room.routes(service))
    app.openapi = lambda: _schema(app)  # type: ignore[method-assign]
    return app


def _schema(app: FastAPI) -> dict[str, object]:
    """The OpenAPI schema, with problems in the place of FastAPI's own form of errors."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=TAGS
        )
        parts = schema["components"]["schemas"]
        parts["Problem"] = Problem.model_json_schema()
        for name in ("HTTPValidationError", "ValidationError"):
            parts.pop(name, None)
        app.openapi_schema = schema
    return app.openapi_schema


TAGS = [
    {"name": "recommend", "description": "What comes next, and why"},
    {"name": "items", "description": "The catalogue"},
    {"name": "additions", "description": "New items, without training"},
    {"name": "operation", "description": "Health, metrics, facts"},
]
