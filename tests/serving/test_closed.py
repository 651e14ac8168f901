"""What the service does not let through: strangers, other sites, and whatever is too large, too slow or too much."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from iisan.errors import UserError
from iisan.jobs.train import TrainOutcome
from iisan.models.recommender import Recommendation
from iisan.serving.bearer_token import Token, read_token
from iisan.serving.http_protocol import MOST_HEAD_BYTES, BoundedProtocol
from iisan.serving.rank_request import RankRequest
from iisan.serving.snapshot import Snapshot
from tests.serving.running import Running, running

TOKEN = "0123456789abcdef-the-token"
BODY = {"history": ["i1", "i2"], "k": 3}


@pytest.fixture(scope="module")
def served(trained: TrainOutcome) -> Iterator[Running]:
    with running(
        trained.folder,
        token=TOKEN,
        max_body=4096,
        body_seconds=1.0,
        max_connections=12,
        cors_origin=["https://shop.example"],
    ) as found:
        yield found


def raw(served: Running, *pieces: bytes, pause: float = 0.0, wait: float = 10.0) -> bytes:
    """Sends bytes, and gives all that comes until the connection ends or nothing comes for a while."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=wait) as connection:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause)
        received = b""
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while chunk := connection.recv(65536):
                received += chunk
        return received


def test_writing_needs_the_token(served: Running) -> None:
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
    ):
        added = served.client.post("/items", data={"title": "lamp"}, headers=headers)
        removed = served.client.delete("/items/i1", headers=headers)
        for answer in (added, removed):
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.headers["content-type"] == "application/problem+json"
    assert served.client.get("/items/i1").status_code == 200
    # The right one comes past the door: what is wrong then is the form.
    assert served.client.post("/items", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 422


def test_tokens_are_bounded_and_kept_as_digests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = Token.of(TOKEN, "here")
    assert token.matches(f"bearer {TOKEN}")
    assert not token.matches(f"Bearer {TOKEN}x")
    assert not token.matches(None)
    assert TOKEN not in repr(token)
    for text in ("short", "x" * 5000, "with a space in the token", "mit-Umlaut-äöü-äöü-äöü"):
        with pytest.raises(UserError, match="openssl"):
            Token.of(text, "here")
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n", encoding="ascii")
    assert read_token(file) == token
    monkeypatch.setenv("IISAN_TOKEN", TOKEN)
    assert read_token(None) == token
    with pytest.raises(UserError, match="cannot be read"):
        read_token(tmp_path / "absent")


def test_other_sites_cannot_write(served: Running) -> None:
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "https://evil.example"},
    ):
        answer = served.client.post("/recommend", json=BODY, headers=headers)
        assert answer.status_code == 403, headers
    own = f"http://127.0.0.1:{served.port}"
    for headers in ({"Origin": own}, {"Sec-Fetch-Site": "same-origin"}, {"Origin": "https://shop.example"}):
        assert served.client.post("/recommend", json=BODY, headers=headers).status_code == 200, headers


def test_only_named_origins_read_across_sites(served: Running) -> None:
    named = served.client.get("/about", headers={"Origin": "https://shop.example"})
    assert named.headers["access-control-allow-origin"] == "https://shop.example"
    other = served.client.get("/about", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


def test_other_names_are_turned_away(served: Running) -> None:
    assert served.client.get("/about", headers={"Host": "evil.example"}).status_code == 421
    for name in ("localhost", "127.0.0.1:1234", "[::1]:80", "LOCALHOST"):
        assert served.client.get("/about", headers={"Host": name}).status_code == 200


def test_bodies_are_bounded_before_they_are_read(served: Running) -> None:
    answer = served.client.post("/recommend", json={"history": ["x" * 900] * 6})
    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"

    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 1000

    assert served.client.post("/recommend", content=endless()).status_code == 413
    assert served.client.post("/recommend", json=BODY).status_code == 200


def test_slow_bodies_are_given_up(served: Running) -> None:
    head = (
        b"POST /recommend HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    )
    started = time.monotonic()
    assert raw(served, head, b'{"history"').startswith(b"HTTP/1.1 408")
    assert time.monotonic() - started < 5


def test_heads_without_end_are_given_up(served: Running) -> None:
    start = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
    assert b" 431 " in raw(served, start, b"X: " + b"a" * MOST_HEAD_BYTES, b"a" * MOST_HEAD_BYTES)
    # However it arrives: all in one read, with an end or without one.
    assert b" 431 " in raw(served, start + b"X: " + b"a" * 2 * MOST_HEAD_BYTES, wait=3.0)
    assert b" 431 " in raw(served, start + b"X: " + b"a" * 2 * MOST_HEAD_BYTES + b"\r\n\r\n", wait=3.0)
    lines = b"".join(b"X-%d: a\r\n" % number for number in range(20_000))
    assert b" 431 " in raw(served, start, lines)
    chunks = b"1\r\na\r\n" * 20_000
    chunked = b"POST /recommend HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    received = raw(served, chunked, chunks)
    assert b" 431 " in received or b" 413 " in received


def test_connections_that_say_nothing_are_closed(served: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedProtocol, "head_seconds", 0.3)
    started = time.monotonic()
    assert raw(served) == b""
    assert raw(served, b"GET / HT") == b""
    assert time.monotonic() - started < 5


def test_no_more_connections_than_allowed(served: Running) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(12):
            stack.enter_context(socket.create_connection(("127.0.0.1", served.port)))
        time.sleep(0.2)
        assert raw(served).startswith(b"HTTP/1.1 503")
    time.sleep(0.3)
    assert served.client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET \xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /items/\xe4 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET http:// HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /recommend HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /recommend HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /items HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data\r\nContent-Length: 3\r\n\r\nabc",
    ],
)
def test_bytes_that_are_no_request(served: Running, request_bytes: bytes) -> None:
    received = raw(served, request_bytes, wait=2.0)
    assert not received or received.startswith(b"HTTP/1.1 4"), received[:200]
    assert served.client.get("/healthz").status_code == 200


def test_too_much_at_once_is_told_to_ask_again(trained: TrainOutcome, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(trained.folder, read_only=True, max_requests=3, answer_seconds=1.0) as served:
        slow = asyncio.Event()

        async def never(snapshot: Snapshot, requests: list[RankRequest]) -> list[list[Recommendation]]:
            await slow.wait()
            return []

        monkeypatch.setattr(served.service.ranking, "recommend_many", never)
        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda _: served.client.post("/recommend", json=BODY), range(12)))
        details = [answer.json()["detail"] for answer in answers]
        assert all(answer.status_code == 503 and answer.headers["retry-after"] == "1" for answer in answers)
        assert sum("in hand" in detail for detail in details) >= 6
        assert sum("too long" in detail for detail in details) >= 3
        assert served.client.get("/healthz").status_code == 200


def test_a_read_only_service_takes_no_changes(trained: TrainOutcome) -> None:
    with running(trained.folder, read_only=True) as served:
        assert served.client.post("/items", data={"title": "lamp"}).status_code == 403
        assert served.client.delete("/items/i1").status_code == 403


def test_a_bug_is_a_problem_that_gives_nothing_away(trained: TrainOutcome, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(trained.folder, read_only=True) as served:

        def broken(*_: object) -> list[str]:
            raise RuntimeError("a secret of this machine")

        monkeypatch.setattr(Snapshot, "search", broken)
        answer = served.client.get("/items", params={"query": "x"})
        assert answer.status_code == 500
        assert answer.headers["content-type"] == "application/problem+json"
        assert "secret" not in answer.text
        assert "content-security-policy" in answer.headers
