"""Concurrent requests: ranked together, fair, bounded, and each on its own when something goes wrong."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, cast

import pytest
import torch

from iisan.jobs.train import TrainOutcome
from iisan.models.recommender import Recommendation
from iisan.serving.live_model import LiveModel
from iisan.serving.micro_batches import MicroBatches, MicroBatchOptions
from iisan.serving.rank_request import RankRequest
from iisan.serving.refusals import Overloaded, StillComputing, UnknownItems
from iisan.serving.snapshot import Snapshot

PATIENCE = 30.0


class Ranker:
    """Stands in for a snapshot where a test must say when ranking ends: answers with the history itself."""

    def __init__(self, *, held: bool = False) -> None:
        self.batches: list[list[str]] = []
        self.threads: set[int] = set()
        self.go = threading.Event()
        self.began = threading.Event()
        if not held:
            self.go.set()

    def prepare(self, modalities: frozenset[str] | None) -> Future[Any] | None:
        return None

    def rank(self, requests: Sequence[RankRequest]) -> list[list[Recommendation] | Exception]:
        self.began.set()
        assert self.go.wait(PATIENCE)
        self.batches.append([request.history[0] for request in requests])
        self.threads.add(threading.get_ident())
        if any("all break" in request.history for request in requests):
            raise RuntimeError("the whole batch")
        return [
            RuntimeError("bad") if "bad" in request.history else [Recommendation(request.history[0], None, 1.0)]
            for request in requests
        ]


def as_snapshot(ranker: Ranker) -> Snapshot:
    return cast(Snapshot, ranker)


def ask(*history: str) -> RankRequest:
    return RankRequest(list(history), 1)


def run(test: Any) -> None:
    asyncio.run(asyncio.wait_for(test, PATIENCE))


def test_many_requests_share_a_few_batches_in_one_thread() -> None:
    async def test() -> None:
        ranker, batches = Ranker(), MicroBatches(MicroBatchOptions(most=16))
        answers = await asyncio.gather(*[batches.recommend(as_snapshot(ranker), ask(str(n))) for n in range(100)])
        assert [answer[0].item_id for answer in answers] == [str(n) for n in range(100)]
        assert len(ranker.batches) == 7
        assert max(map(len, ranker.batches)) == 16
        assert len(ranker.threads) == 1
        assert threading.get_ident() not in ranker.threads
        assert batches.waiting == 0
        await batches.close()

    run(test())


def test_an_error_is_that_of_its_own_request() -> None:
    async def test() -> None:
        ranker, batches = Ranker(), MicroBatches()
        requests = [batches.recommend(as_snapshot(ranker), ask(name)) for name in ("a", "bad", "c")]
        answers = await asyncio.gather(*requests, return_exceptions=True)
        assert [type(answer) for answer in answers] == [list, RuntimeError, list]
        assert len(ranker.batches) == 1
        # Should the ranking itself break, the next batch is served all the same.
        with pytest.raises(RuntimeError, match="the whole batch"):
            await batches.recommend(as_snapshot(ranker), ask("all break"))
        assert await batches.recommend(as_snapshot(ranker), ask("d"))
        await batches.close()

    run(test())


def test_one_who_asks_for_much_does_not_keep_the_others_waiting() -> None:
    async def test() -> None:
        ranker, batches = Ranker(), MicroBatches(MicroBatchOptions(most=8))
        many = asyncio.create_task(batches.recommend_many(as_snapshot(ranker), [ask(f"many-{n}") for n in range(200)]))
        await asyncio.sleep(0)
        await batches.recommend(as_snapshot(ranker), ask("one"))
        before = [history for batch in ranker.batches for history in batch].index("one")
        assert before < 3 * 8
        answers = await many
        assert [cast(list[Recommendation], answer)[0].item_id for answer in answers] == [
            f"many-{n}" for n in range(200)
        ]
        await batches.close()

    run(test())


def test_a_full_queue_refuses_and_recovers() -> None:
    async def test() -> None:
        ranker = Ranker(held=True)
        batches = MicroBatches(MicroBatchOptions(most=2, most_waiting=4))
        first = [asyncio.create_task(batches.recommend(as_snapshot(ranker), ask(str(n)))) for n in range(2)]
        await asyncio.to_thread(ranker.began.wait, PATIENCE)
        waiting = [asyncio.create_task(batches.recommend(as_snapshot(ranker), ask(str(n)))) for n in range(2, 5)]
        await asyncio.sleep(0)
        assert batches.waiting == 3
        with pytest.raises(Overloaded, match="3 requests are waiting already; ask again"):
            await batches.recommend_many(as_snapshot(ranker), [ask("x"), ask("y")])
        assert batches.waiting == 3
        ranker.go.set()
        assert len(await asyncio.gather(*first, *waiting)) == 5
        assert await batches.recommend(as_snapshot(ranker), ask("later"))
        await batches.close()

    run(test())


def test_who_goes_away_leaves_no_trace() -> None:
    async def test() -> None:
        ranker = Ranker(held=True)
        batches = MicroBatches(MicroBatchOptions(most=4))
        begun = asyncio.create_task(batches.recommend(as_snapshot(ranker), ask("begun")))
        await asyncio.to_thread(ranker.began.wait, PATIENCE)
        gone = asyncio.create_task(batches.recommend_many(as_snapshot(ranker), [ask("gone")] * 50))
        stays = asyncio.create_task(batches.recommend(as_snapshot(ranker), ask("stays")))
        await asyncio.sleep(0.01)
        assert batches.waiting == 51
        gone.cancel()
        begun.cancel()
        await asyncio.gather(gone, begun, return_exceptions=True)
        assert batches.waiting == 1
        ranker.go.set()
        assert (await stays)[0].item_id == "stays"
        assert ranker.batches == [["begun"], ["stays"]]
        assert batches.waiting == 0
        await batches.close()

    run(test())


def test_closing_answers_what_has_begun_and_refuses_the_rest() -> None:
    async def test() -> None:
        ranker = Ranker(held=True)
        batches = MicroBatches(MicroBatchOptions(most=1))
        begun = asyncio.create_task(batches.recommend(as_snapshot(ranker), ask("begun")))
        await asyncio.to_thread(ranker.began.wait, PATIENCE)
        waits = asyncio.create_task(batches.recommend(as_snapshot(ranker), ask("waits")))
        await asyncio.sleep(0.01)
        closing = asyncio.create_task(batches.close())
        with pytest.raises(Overloaded):
            await waits
        ranker.go.set()
        assert (await begun)[0].item_id == "begun"
        await closing
        with pytest.raises(Overloaded):
            await batches.recommend(as_snapshot(ranker), ask("late"))

    run(test())


def test_closing_what_was_never_used() -> None:
    run(MicroBatches().close())


def test_a_real_model_answers_as_without_batches(trained: TrainOutcome) -> None:
    snapshot = LiveModel.open(trained.folder, device=torch.device("cpu")).snapshot
    ids = snapshot.table.item_ids

    async def test() -> None:
        batches = MicroBatches()
        requests = [RankRequest([ids[n % len(ids)], ids[(3 * n + 1) % len(ids)]], 1 + n % 7) for n in range(60)]
        requests.append(RankRequest(["ghost"], 3))
        together = await batches.recommend_many(snapshot, requests)
        assert isinstance(together.pop(), UnknownItems)
        for request, answer in zip(requests, together, strict=False):
            [alone] = snapshot.recommend([request.history], request.k)
            assert [one.item_id for one in cast(list[Recommendation], answer)] == [one.item_id for one in alone]
        await batches.close()

    run(test())


def test_a_modality_left_out_is_waited_for_but_not_for_ever(
    trained: TrainOutcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = LiveModel.open(trained.folder, device=torch.device("cpu")).snapshot
    go, compute = threading.Event(), snapshot.variants._compute
    monkeypatch.setattr(snapshot.variants, "_compute", lambda kept: (go.wait(PATIENCE), compute(kept))[1])
    text = RankRequest(["i0"], 3, modalities=frozenset(["text"]))

    async def test() -> None:
        batches = MicroBatches(MicroBatchOptions(patience_s=0.05))
        slow = asyncio.create_task(batches.recommend(snapshot, text))
        assert await batches.recommend(snapshot, RankRequest(["i0"], 3))  # is not held up
        with pytest.raises(StillComputing):
            await slow
        go.set()
        for _ in range(600):
            try:
                assert len(await batches.recommend(snapshot, text)) == 3
                break
            except StillComputing:
                await asyncio.sleep(0.05)
        else:
            pytest.fail("never computed")
        await batches.close()

    run(test())
