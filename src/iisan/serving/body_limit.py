"""Bodies of bounded size that arrive in bounded time, before anything reads them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from iisan.serving.problems import ProblemResponse

# What was not read is not waited for.
CLOSE = {"Connection": "close"}


class BodyLimit:
    """ASGI: refuses bodies that are too large or too slow.

    Args:
        app: What reads the others.
        most: Bytes of a body.
        of_paths: Other bounds by path.
        seconds: Time from the first look at a body to its end.
    """

    def __init__(self, app: ASGIApp, *, most: int, of_paths: Mapping[str, int], seconds: float) -> None:
        self.app = app
        self.most = most
        self.of_paths = dict(of_paths)
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        most = self.of_paths.get(scope["path"], self.most)
        stated = _stated_length(scope)
        if stated is not None and stated > most:
            await ProblemResponse(413, _too_large(most), CLOSE)(scope, receive, send)
            return
        await self.app(scope, _Bounded(receive, most, self.seconds), send)


class _Bounded:
    """A body's ``receive`` that counts, and looks at the clock."""

    def __init__(self, receive: Receive, most: int, seconds: float) -> None:
        self._receive = receive
        self._most = most
        self._left = most
        self._seconds = seconds
        self._until: float | None = None
        self._ended = False

    async def __call__(self) -> Message:
        if self._ended:  # What comes now is the end of the connection, which may take as long as it likes.
            return await self._receive()
        if self._until is None:
            self._until = asyncio.get_running_loop().time() + self._seconds
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, "the body took too long to arrive; send it faster", CLOSE) from None
        self._ended = not message.get("more_body", False)
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise HTTPException(413, _too_large(self._most), CLOSE)
        return message


def _stated_length(scope: Scope) -> int | None:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else None
    return None


def _too_large(most: int) -> str:
    return f"the body has more than {most:,} bytes; send less at once"
