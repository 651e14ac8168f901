"""Answers with an entity tag: a client that has the content already is told so."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response


def tagged(request: Request, content: bytes, media_type: str, tag: str, cache: str) -> Response:
    """Content, or 304 where the request names its tag.

    Args:
        request: May have ``If-None-Match``.
        content: The body.
        media_type: Its type.
        tag: Its strong entity tag with quotes.
        cache: The ``Cache-Control`` header.
    """
    headers = {"ETag": tag, "Cache-Control": cache}
    if _names(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=media_type, headers=headers)


def _names(header: str | None, tag: str) -> bool:
    if header is None:
        return False
    tags = {one.strip().removeprefix("W/") for one in header.split(",")}
    return tag in tags or "*" in tags
