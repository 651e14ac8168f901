"""``POST /items`` and ``DELETE /items/{id}``."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.security import HTTPBearer
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.responses import Response

from iisan.serving.adder import Adder
from iisan.serving.answers import AddedItem
from iisan.serving.body_limit import CLOSE
from iisan.serving.item_answers import known_row, picture_of
from iisan.serving.item_paths import ItemIdInPath
from iisan.serving.new_item_form import FORM, MOST_FIELDS, MOST_FILES, new_item_of
from iisan.serving.problems import RETRY_AFTER, documented
from iisan.serving.refusals import UnknownItems
from iisan.serving.service import Service

WRITERS_TOKEN = HTTPBearer(auto_error=False, description="Where the service was started with a token")
PROBLEMS = documented(401, 403, 409, 422, 503)


def routes(service: Service) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["additions"])

    def writer(request: Request, _: Annotated[object, Depends(WRITERS_TOKEN)]) -> Adder:
        if service.adder is None:
            raise HTTPException(403, "this service takes no changes; it was started with --read-only", CLOSE)
        if service.token is not None and not service.token.matches(request.headers.get("authorization")):
            raise HTTPException(
                401, "the token is missing or wrong; send the header Authorization: Bearer TOKEN",
                {"WWW-Authenticate": "Bearer", **CLOSE},
            )  # fmt: skip
        return service.adder

    @router.post(
        "/items",
        status_code=201,
        response_model=AddedItem,
        responses={**documented(400, 408, 413), **PROBLEMS},
        openapi_extra={"requestBody": FORM},
    )
    async def add(request: Request, adder: Adder = Depends(writer)) -> Any:  # noqa: B008 - of this service
        """Add an item, or replace one; encoded, recommendable, and on the disk when this answers."""
        if service.uploads.locked():
            raise HTTPException(503, "other items are being added; ask again in a moment", {**RETRY_AFTER, **CLOSE})
        async with service.uploads:
            form = await _form(request, adder.limits.text_characters)
            try:
                item = await new_item_of(form, service.modalities, adder.limits)
            finally:
                await form.close()
            added = await adder.add(item)
        service.metrics.additions.labels(added.outcome).inc()
        await service.refresh()
        snapshot = service.snapshot
        row = known_row(snapshot, added.item_id)
        return {
            "item_id": added.item_id,
            "outcome": added.outcome,
            "recommendable": row is not None and bool(snapshot.table.recommendable[row]),
            "picture": picture_of(snapshot, added.item_id),
        }

    @router.delete(
        "/items/{item_id}",
        status_code=204,
        response_class=Response,
        responses={**documented(404), **PROBLEMS},
    )
    async def remove(item_id: ItemIdInPath, adder: Adder = Depends(writer)) -> Response:  # noqa: B008 - as above
        """Take an item back: it is never offered again, unless it is added again."""
        try:
            await adder.remove(item_id)
        except UnknownItems as error:
            raise HTTPException(404, f"{error.what}; {error.how}") from error
        service.metrics.additions.labels("removed").inc()
        await service.refresh()
        return Response(status_code=204)

    return router


async def _form(request: Request, text_characters: int) -> FormData:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("multipart/form-data", "application/x-www-form-urlencoded"):
        raise HTTPException(422, "the body is no form; send it as multipart/form-data", CLOSE)
    try:
        return await request.form(
            max_files=MOST_FILES, max_fields=MOST_FIELDS, max_part_size=max(4 * text_characters, 1 << 16)
        )
    except HTTPException:
        raise
    except Exception as error:  # The parser of forms raises many kinds of exceptions on odd bytes.
        raise HTTPException(400, "the form cannot be read; send it as multipart/form-data", CLOSE) from error
