"""What a process serves from, and what it does besides answering: watching the model."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from iisan.serving.adder import Adder
from iisan.serving.bearer_token import Token
from iisan.serving.live_model import LiveModel
from iisan.serving.metrics import Metrics
from iisan.serving.micro_batches import MicroBatches
from iisan.serving.page_files import PageFile
from iisan.serving.settings import ServeSettings
from iisan.serving.side_work import SideWork
from iisan.serving.snapshot import Snapshot
from iisan.serving.thumbnails import Thumbnails

logger = logging.getLogger(__name__)


@dataclass
class Service:
    """The parts of a process that serves.

    Attributes:
        settings: What it was told.
        live: The model as it is now.
        ranking: Ranks requests that come at the same time together.
        adder: Adds and removes items; None where the service is read-only.
        token: What adding and removing asks for; None for nothing.
        page: The web page by path.
        metrics: What it counts.
        work: Threads for what is neither ranking nor pictures.
        decoding: The thread for pictures.
        thumbnails: Scaled pictures.
        uploads: Room for new items that are being received.
    """

    settings: ServeSettings
    live: LiveModel
    ranking: MicroBatches
    adder: Adder | None
    token: Token | None
    page: Mapping[str, PageFile]
    metrics: Metrics
    work: SideWork
    decoding: SideWork
    thumbnails: Thumbnails
    uploads: asyncio.Semaphore
    _refreshing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def snapshot(self) -> Snapshot:
        """The model as it is now; taken once a request, so that its answer is of one piece."""
        return self.live.snapshot

    @property
    def modalities(self) -> dict[str, str]:
        """Kind of each modality that the model reads; none for a model that knows items by their ids only."""
        recommender = self.snapshot.recommender
        shapes = recommender.config.item_encoder
        names = sorted(getattr(shapes, "modalities", None) or getattr(shapes, "widths", {}))
        encoders = recommender.details.get("encoders", {})
        return {name: str(encoders.get(name, {}).get("kind", "unknown")) for name in names}

    @property
    def adding(self) -> str:
        """How it stands with new items: ready, loading, or why none can be added."""
        if self.adder is None:
            return "the service is read-only"
        return self.adder.cannot_add or ("ready" if self.adder.ready else "loading")

    async def refresh(self) -> None:
        """Takes in what has changed in the model folder; where that cannot be read, the model before goes on."""
        async with self._refreshing:
            changed = await asyncio.to_thread(self.live.refresh)
        if self.live.problem is not None:
            self.metrics.failed_reloads.inc()
        if changed:
            self.metrics.reloads.inc()
            self._count_model()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """From the first request to the last."""
        self._count_model()
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self.live.close)
            stack.push_async_callback(self.ranking.close)
            stack.callback(self.work.close)
            stack.callback(self.decoding.close)
            if self.adder is not None:
                await stack.enter_async_context(self.adder)
            watcher = asyncio.create_task(self._watch())
            stack.push_async_callback(_cancelled, watcher)
            yield

    def _count_model(self) -> None:
        self.metrics.items.set(len(self.snapshot.table))
        self.metrics.recall.set(self.snapshot.index.report.recall)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self.settings.reload_seconds)
            try:
                await self.refresh()
            except Exception:
                # The watcher outlives it: a service that never looked again would be wrong without a sign.
                logger.exception("looking for a changed model failed")


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
