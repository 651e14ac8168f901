"""No more requests in hand than the service can hold: the others are told to ask again at once."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from iisan.serving.metrics import Metrics
from iisan.serving.problems import RETRY_AFTER, ProblemResponse

# Answered also when there is more to do than can be done: they say so.
ALWAYS = {"/healthz", "/readyz", "/metrics"}


class InHand:
    """ASGI: counts the requests in hand, and turns away what is too much.

    Args:
        app: What answers.
        most: Requests in hand at once.
        metrics: Where they are counted.
    """

    def __init__(self, app: ASGIApp, *, most: int, metrics: Metrics) -> None:
        self.app = app
        self.most = most
        self.metrics = metrics
        self._count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection."""
        if scope["type"] != "http" or scope["path"] in ALWAYS:
            await self.app(scope, receive, send)
            return
        if self._count >= self.most:
            detail = f"{self._count} requests are in hand; ask again in a moment"
            await ProblemResponse(503, detail, RETRY_AFTER)(scope, receive, send)
            return
        self._count += 1
        self.metrics.in_hand.set(self._count)
        try:
            await self.app(scope, receive, send)
        finally:
            self._count -= 1
            self.metrics.in_hand.set(self._count)
