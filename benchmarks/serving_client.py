"""A light HTTP client that keeps some connections busy: raw sockets, so that it takes little of the server's time.

python benchmarks/serving_client.py PORT CONNECTIONS REQUESTS N_ITEMS FILE: writes seconds and latencies as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import time
from array import array
from pathlib import Path
from typing import cast

# As many distinct requests, sent again and again.
BODIES = 2000
K = 10
HISTORY = (1, 50)


def requests(n_items: int) -> list[bytes]:
    """Whole HTTP requests with histories of made-up items."""
    rng = random.Random(0)
    found = []
    for _ in range(BODIES):
        history = [f"item-{row}" for row in rng.sample(range(n_items), min(n_items, rng.randint(*HISTORY)))]
        body = json.dumps({"history": history, "k": K}).encode("ascii")
        head = "POST /recommend HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json"
        found.append(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode("ascii") + body)
    return found


class Connection(asyncio.Protocol):
    """Sends the next request when the answer to the one before is whole."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.buffer = bytearray()
        self.length = -1  # of the answer that is coming, headers included; -1 while they are

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is of another class
        self.send()

    def send(self) -> None:
        """Sends the next request, or closes the connection where there is none."""
        request = self.load.next()
        if request is None:
            self.transport.close()
            return
        self.sent = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Takes in a piece of an answer."""
        self.buffer += data
        if self.length < 0:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            if not self.buffer.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"unexpected answer: {bytes(self.buffer[:300])!r}")
            at = self.buffer.index(b"content-length: ") + 16
            self.length = end + 4 + int(self.buffer[at : self.buffer.index(b"\r", at)])
        if len(self.buffer) >= self.length:
            self.load.latencies.append(time.perf_counter() - self.sent)
            self.buffer.clear()
            self.length = -1
            self.send()

    def connection_lost(self, error: Exception | None) -> None:
        """Ends."""
        self.load.closed()


class Load:
    """What all connections send together."""

    def __init__(self, bodies: list[bytes], count: int, connections: int) -> None:
        self.bodies = bodies
        self.left = count
        self.latencies = array("d")
        self.open = connections
        self.done = asyncio.Event()

    def next(self) -> bytes | None:
        """The next request, None where all are sent."""
        if not self.left:
            return None
        self.left -= 1
        return self.bodies[self.left % len(self.bodies)]

    def closed(self) -> None:
        """Counts a connection that ended."""
        self.open -= 1
        if not self.open:
            self.done.set()


async def run(port: int, connections: int, count: int, n_items: int) -> dict[str, object]:
    """Sends `count` requests over `connections` connections."""
    load = Load(requests(n_items), count, connections)
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    for _ in range(connections):
        await loop.create_connection(lambda: Connection(load), "127.0.0.1", port)
    await load.done.wait()
    seconds = time.perf_counter() - started
    if len(load.latencies) != count:
        raise SystemExit(f"{count - len(load.latencies)} of {count} requests were not answered")
    return {"seconds": seconds, "cpu_seconds": time.process_time(), "latencies": load.latencies.tolist()}


if __name__ == "__main__":
    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    *numbers, path = sys.argv[1:]
    Path(path).write_text(json.dumps(asyncio.run(run(*map(int, numbers)))), encoding="ascii")
