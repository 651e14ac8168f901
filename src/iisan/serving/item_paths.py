"""Item ids in paths: any text, percent-encoded.

A server decodes a path before it looks for the route, which makes ``/items/a%2Fpicture`` (the item ``a/picture``) and
``/items/a/picture`` (the picture of ``a``) the same. Under these prefixes the route is looked for in the path as it was
sent, and the id is decoded after that.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote, unquote

from fastapi import Depends, Path
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

PREFIXES = (b"/items/", b"/similar/")
# A browser resolves them before it sends a path, percent-encoded or not.
UNREACHABLE = frozenset({".", ".."})


class RawItemPaths:
    """ASGI: routes under the prefixes are found by the path as it was sent.

    Args:
        app: What routes.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection."""
        if scope["type"] == "http" and scope["raw_path"].startswith(PREFIXES):
            scope["path"] = scope["raw_path"].decode("ascii")
        await self.app(scope, receive, send)


def item_id_of_path(
    item_id: Annotated[str, Path(description="Id of an item, percent-encoded, slashes too", examples=["P0004"])],
) -> str:
    """The id that a path names."""
    try:
        return unquote(item_id, errors="strict")
    except UnicodeDecodeError:
        raise HTTPException(404, "the id in the path is not percent-encoded UTF-8") from None


ItemIdInPath = Annotated[str, Depends(item_id_of_path)]


def picture_path(item_id: str) -> str:
    """The path of an item's picture."""
    return f"/items/{quote(item_id, safe='')}/picture"
