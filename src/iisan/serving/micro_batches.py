"""Concurrent requests ranked together, by one thread, so that the event loop never computes."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field

from iisan.models.recommender import Recommendation
from iisan.serving.rank_request import RankRequest
from iisan.serving.refusals import Overloaded
from iisan.serving.snapshot import Answer, Snapshot


class MicroBatchOptions(BaseModel):
    """How many requests are ranked together, and how many may wait."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    most: int = Field(64, ge=1, description="Requests ranked together")
    wait_ms: float = Field(1.0, ge=0, le=100, description="Milliseconds that a first request waits for others")
    most_waiting: int = Field(4096, ge=1, description="Requests that may wait; more are refused")
    patience_s: float = Field(
        5.0, gt=0, description="Seconds that a request waits for embeddings with a modality left out"
    )


logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, slots=True)
class _Taken:
    """A request whose turn it is."""

    snapshot: Snapshot
    request: RankRequest
    future: asyncio.Future[Answer]


@dataclass(eq=False)
class _Caller:
    """What one caller still waits for."""

    snapshot: Snapshot
    waiting: deque[tuple[RankRequest, asyncio.Future[Answer]]] = field(default_factory=deque)


class MicroBatches:
    """Ranks the requests of an event loop, many at a time.

    Callers take turns: one that brings many requests does not keep the others waiting for all of them. A request that
    fails, or whose caller goes away, leaves the others as they are. To be used from one event loop.

    Args:
        options: Sizes and times.
    """

    def __init__(self, options: MicroBatchOptions | None = None) -> None:
        self.options = options or MicroBatchOptions()
        self._callers: deque[_Caller] = deque()
        self._waiting = 0
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="iisan-rank")
        self._pump: asyncio.Task[None] | None = None
        self._more = asyncio.Event()
        self._closing = False

    @property
    def waiting(self) -> int:
        """Requests that are not begun."""
        return self._waiting

    async def recommend(self, snapshot: Snapshot, request: RankRequest) -> list[Recommendation]:
        """The top items for one request, ranked with others that wait at the same time.

        Raises:
            Overloaded: Too many wait already.
            UserError: The request's own fault; see :meth:`~iisan.serving.snapshot.Snapshot.recommend`.
        """
        [answer] = await self.recommend_many(snapshot, [request])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def recommend_many(self, snapshot: Snapshot, requests: Sequence[RankRequest]) -> list[Answer]:
        """The top items for each of some requests of one caller, or the error of that request in its place.

        Raises:
            Overloaded: Too many wait already; none of these was taken.
        """
        await self._prepare(snapshot, requests)
        if self._closing or self._waiting + len(requests) > self.options.most_waiting:
            raise Overloaded(self._waiting)
        loop = asyncio.get_running_loop()
        caller = _Caller(snapshot, deque((request, loop.create_future()) for request in requests))
        futures = [future for _, future in caller.waiting]
        if not futures:
            return []
        self._callers.append(caller)
        self._waiting += len(futures)
        self._wake()
        try:
            return list(await asyncio.gather(*futures))
        finally:
            self._waiting -= len(caller.waiting)  # those not begun, of a caller that has gone away
            caller.waiting.clear()

    async def close(self) -> None:
        """Answers what has begun, refuses what waits and what comes, and returns when the thread has ended."""
        self._closing = True
        for caller in self._callers:
            for _, future in caller.waiting:
                if not future.done():
                    future.set_result(Overloaded(self._waiting))
        if self._pump is not None:
            self._more.set()
            await asyncio.wait({self._pump})
        await asyncio.to_thread(self._worker.shutdown)

    async def _prepare(self, snapshot: Snapshot, requests: Sequence[RankRequest]) -> None:
        """Waits, a while, for embeddings with modalities left out; whose turn it is to rank is not held up by them."""
        for modalities in {request.modalities for request in requests if request.modalities is not None}:
            future = snapshot.prepare(modalities)
            if future is not None and not future.done():
                await asyncio.wait({asyncio.wrap_future(future)}, timeout=self.options.patience_s)

    def _wake(self) -> None:
        if self._pump is None or self._pump.done():
            self._pump = asyncio.get_running_loop().create_task(self._run())
        self._more.set()

    async def _run(self) -> None:
        while not self._closing:
            await self._more.wait()
            if self._waiting < self.options.most and self.options.wait_ms:
                await asyncio.sleep(self.options.wait_ms / 1000)
            batch = self._take()
            if batch:
                await self._answer(batch)
            if not self._waiting:
                self._more.clear()

    async def _answer(self, batch: Sequence[_Taken]) -> None:
        answers: Sequence[Answer]
        try:
            answers = await asyncio.get_running_loop().run_in_executor(self._worker, _rank, batch)
        except Exception as error:
            logger.exception("a batch of %d requests failed", len(batch))
            answers = [error] * len(batch)
        for taken, answer in zip(batch, answers, strict=True):
            if not taken.future.done():
                taken.future.set_result(answer)

    def _take(self) -> list[_Taken]:
        """The next requests, one of each caller in turn."""
        batch: list[_Taken] = []
        while self._callers and len(batch) < self.options.most:
            caller = self._callers.popleft()
            if not caller.waiting:
                continue
            request, future = caller.waiting.popleft()
            self._waiting -= 1
            if not future.done():
                batch.append(_Taken(caller.snapshot, request, future))
            if caller.waiting:
                self._callers.append(caller)
        return batch


def _rank(batch: Sequence[_Taken]) -> list[Answer]:
    answers: list[Answer] = [[] for _ in batch]
    by_snapshot: dict[int, list[int]] = defaultdict(list)
    for place, taken in enumerate(batch):
        by_snapshot[id(taken.snapshot)].append(place)
    for places in by_snapshot.values():
        found = batch[places[0]].snapshot.rank([batch[place].request for place in places])
        for place, answer in zip(places, found, strict=True):
            answers[place] = answer
    return answers
