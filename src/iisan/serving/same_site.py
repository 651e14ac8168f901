"""Only calls that are meant for this service, and no changes on behalf of another web page.

A browser sends what any page asks it to send, also to a service that only this machine can reach. Two headers that a
page cannot choose tell such calls: ``Host`` (a name that was made to point here, known as DNS rebinding) and
``Sec-Fetch-Site`` or ``Origin`` (a form or script of another site).
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from iisan.serving.problems import ProblemResponse

READING = {"GET", "HEAD", "OPTIONS"}


class SameSite:
    """ASGI: turns away calls by another name, and calls other than reading from another site.

    Args:
        app: What answers the others.
        hosts: Names that the Host header may have, in lower case; None for any.
        origins: Other origins that are let in.
    """

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str] | None, origins: Iterable[str]) -> None:
        self.app = app
        self.hosts = hosts
        self.origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection."""
        answer = self.app if scope["type"] != "http" else self._refusal(scope) or self.app
        await answer(scope, receive, send)

    def _refusal(self, scope: Scope) -> ProblemResponse | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self.hosts is not None and host and _name(host) not in self.hosts:
            return ProblemResponse(
                421, "the service is not called by this name; start it with --allowed-host to allow it"
            )
        if scope["method"] not in READING and self._is_foreign(headers, host):
            return ProblemResponse(403, "a page of another site asks for this; --cors-origin would let it")
        return None

    def _is_foreign(self, headers: Headers, host: str) -> bool:
        origin = headers.get("origin")
        if origin in self.origins:
            return False
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site not in ("same-origin", "none")
        return origin is not None and (origin == "null" or _netloc(origin) != host.lower())


def _name(host: str) -> str:
    """The name of a Host header, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None
