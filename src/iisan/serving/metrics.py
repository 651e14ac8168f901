"""What the service counts, for Prometheus.

Several processes count in files of one folder, which the first process names before the others start (see
:mod:`iisan.serving.workers`); whichever is asked adds them up.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = CONTENT_TYPE_LATEST
# Seconds; from a ranking on a GPU to the encoding of a new item.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.06, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
# The path of what no route answers: paths of requests must not become labels, there are infinitely many.
NO_ROUTE = "none"

# When a counter began, once more for each: the process's own start says it.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The counters of one process, in a registry of their own."""

    def __init__(self) -> None:
        several = FOLDER_VARIABLE in os.environ
        self._own = CollectorRegistry()
        registry = self._own
        if not several:
            ProcessCollector(registry=registry)
        self._requests = Counter(
            "iisan_http_requests", "Requests answered, by route, method and status.", ("route", "method", "status"),
            registry=registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "iisan_http_request_seconds", "Time to an answer's end, by route.", ("route",), buckets=BUCKETS,
            registry=registry,
        )  # fmt: skip
        self.in_hand = Gauge(
            "iisan_http_requests_in_hand", "Requests being answered.", registry=registry, multiprocess_mode="livesum"
        )
        self.lists = Counter("iisan_recommendation_lists", "Lists of recommendations made.", registry=registry)
        self.items = Gauge(
            "iisan_items", "Items of the catalogue.", registry=registry, multiprocess_mode="livemostrecent"
        )
        self.additions = Counter(
            "iisan_additions", "Items added or removed over HTTP, by what became of them.", ("outcome",),
            registry=registry,
        )  # fmt: skip
        self.reloads = Counter("iisan_reloads", "Times that a changed model was taken in.", registry=registry)
        self.failed_reloads = Counter(
            "iisan_failed_reloads", "Times that a changed model could not be read.", registry=registry
        )
        self.recall = Gauge(
            "iisan_index_recall", "Share of the exact top 10 that the index finds, measured at start.",
            registry=registry, multiprocess_mode="livemostrecent",
        )  # fmt: skip
        self._shown = registry
        if several:
            self._shown = CollectorRegistry()
            MultiProcessCollector(self._shown)  # type: ignore[no-untyped-call]
        self._children: dict[tuple[str, str, int], Callable[[float], None]] = {}

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self._shown)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Counts a request."""
        key = route, method, status
        count = self._children.get(key)
        if count is None:
            # Kept: looking children up by their labels takes longer than counting.
            requests, times = self._requests.labels(route, method, str(status)), self._seconds.labels(route)

            def count(took: float) -> None:
                requests.inc()
                times.observe(took)

            self._children[key] = count
        count(seconds)


class Measured:
    """ASGI: counts each request when it is answered.

    Args:
        app: What answers.
        metrics: Where it is counted.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noting_status)
        finally:
            route = getattr(scope.get("route"), "path", NO_ROUTE)
            method = scope["method"] if route != NO_ROUTE else "other"
            self.metrics.answered(route, method, status, time.perf_counter() - started)
