"""The web page at ``/``, and its files under ``/page/``."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from iisan.serving.conditional import tagged
from iisan.serving.page_files import INDEX
from iisan.serving.service import Service


def routes(service: Service) -> APIRouter:
    """The routes; they are no part of the API's schema."""
    router = APIRouter(include_in_schema=False)

    @router.api_route("/", methods=["GET", "HEAD"])
    async def page(request: Request) -> Response:
        return answer(request, INDEX)

    @router.api_route("/page/{name:path}", methods=["GET", "HEAD"])
    async def file(request: Request, name: str) -> Response:
        return answer(request, name)

    def answer(request: Request, name: str) -> Response:
        found = service.page.get(name)
        if found is None:
            raise HTTPException(404, "there is no such file")
        return tagged(request, found.content, found.media_type, found.tag, "no-cache")

    return router
