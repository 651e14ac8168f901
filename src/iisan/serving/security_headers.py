"""Headers that tell a browser what the service's pages and answers may do: nothing but what they need."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# `blob:` is for the preview of a picture that somebody has dropped onto the page and not sent yet.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = [
    (b"content-security-policy", POLICY.encode("ascii")),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
]
RESOURCE_POLICY = (b"cross-origin-resource-policy", b"same-origin")


class SecurityHeaders:
    """ASGI: adds the headers to every answer.

    Args:
        app: What answers.
        shared: Whether pages of other origins may load what is answered (those that CORS lets in).
    """

    def __init__(self, app: ASGIApp, *, shared: bool) -> None:
        self.app = app
        self._headers = HEADERS if shared else [*HEADERS, RESOURCE_POLICY]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._headers]
            await send(message)

        await self.app(scope, receive, with_headers)
