"""HTTP connections that cannot be held open for nothing, nor filled with headers without end."""

from __future__ import annotations

import asyncio
import json

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# From connecting, or from a request's first byte, to the end of its headers.
HEAD_SECONDS = 15.0
# Of a request, besides its body: request line, headers, trailers, and what encloses the chunks of a body.
MOST_HEAD_BYTES = 64 << 10
# Bytes parsed at once. What came with the first byte of a head is not counted, for it may belong to what was before.
PIECE_BYTES = 8 << 10
# Between a refusal and the end of the connection. To close it while bytes of the client are unread would reset it, and
# the client would lose the answer.
LINGER_SECONDS = 1.0


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with bounds on connections, and on the time and size of a request's head."""

    most_connections = 2048
    head_seconds = HEAD_SECONDS

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins a connection, or turns it away."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._spare = 0
        self._refused = False
        self._timer: asyncio.TimerHandle | None = None
        if len(self.connections) > self.most_connections:
            self._refuse(503, "Service Unavailable", "too many connections are open; ask again in a moment")
            return
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends a connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes in what came."""
        for start in range(0, len(data), PIECE_BYTES):
            if self._refused or self.transport.is_closing():
                return
            self._take(data[start : start + PIECE_BYTES])

    def _take(self, piece: bytes) -> None:
        self._spare += len(piece)
        super().data_received(piece)
        if self._spare > MOST_HEAD_BYTES and not (self._refused or self.transport.is_closing()):
            self._refuse(
                431, "Request Header Fields Too Large", f"the headers have more than {MOST_HEAD_BYTES:,} bytes"
            )

    def send_400_response(self, msg: str) -> None:
        """Answers bytes that are no request, with a problem as everything else is."""
        self._refuse(400, "Bad Request", "this is no HTTP request; check its first line and its headers")

    def on_message_begin(self) -> None:
        """A request's first byte came."""
        self._spare = 0
        self._wait_for_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A request's headers are there."""
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of a body came; bodies have a bound of their own."""
        self._spare -= len(body)
        super().on_body(body)

    def _wait_for_head(self) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(self.head_seconds, self._close)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, status: int, title: str, detail: str) -> None:
        body = json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail})
        head = (
            f"HTTP/1.1 {status} {title}\r\ncontent-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\nretry-after: 1\r\nconnection: close\r\n\r\n"
        )
        self._refused = True
        self._stop_waiting()
        self.transport.write((head + body).encode("ascii"))
        self.transport.write_eof()
        self._timer = self.loop.call_later(LINGER_SECONDS, self._close)
