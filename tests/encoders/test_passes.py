"""Batches pass a model in order, and copies run beside the computation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from iisan.encoders.encoder import Batch
from iisan.encoders.passes import Placed, encoded_parts, forward_passes, overlapped


class LoggedCopies:
    """Copies nothing and says in which order it was asked to."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def send(self, batch: Batch) -> Sent:
        self.log.append(f"send {int(batch['x'][0])}")
        return Sent(self, batch)

    def fetch(self, states: Tensor) -> Fetched:
        self.log.append(f"fetch {int(states[0, 0, 0])}")
        return Fetched(self, states)


class Sent:
    def __init__(self, copies: LoggedCopies, sent: Batch) -> None:
        self.copies, self.sent = copies, sent

    def batch(self) -> Batch:
        self.copies.log.append(f"compute {int(self.sent['x'][0])}")
        return self.sent


class Fetched:
    def __init__(self, copies: LoggedCopies, fetched: Tensor) -> None:
        self.copies, self.fetched = copies, fetched

    def states(self) -> Tensor:
        self.copies.log.append(f"wait {int(self.fetched[0, 0, 0])}")
        return self.fetched


def batches(count: int) -> Iterator[Placed]:
    for number in range(count):
        yield [number], {"x": torch.tensor([number])}


def forward(batch: Batch) -> Tensor:
    assert torch.is_inference_mode_enabled()
    return batch["x"].reshape(1, 1, 1).to(torch.bfloat16)


def test_the_next_batch_is_sent_before_one_is_computed_and_waited_for_after() -> None:
    copies = LoggedCopies()
    assert [places for places, _ in overlapped(batches(3), forward, copies)] == [[0], [1], [2]]
    assert copies.log == [
        *("send 0", "send 1", "compute 0", "fetch 0"),
        *("send 2", "compute 1", "fetch 1", "wait 0"),
        *("compute 2", "fetch 2", "wait 1", "wait 2"),
    ]


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_both_ways_give_the_same_states(count: int) -> None:
    plain = list(forward_passes(batches(count), forward, torch.device("cpu")))
    beside = list(overlapped(batches(count), forward, LoggedCopies()))
    assert len(plain) == count
    for (one, states), (other, same) in zip(plain, beside, strict=True):
        assert one == other
        assert states.dtype is torch.float32
        assert torch.equal(states, same)
    assert not torch.is_inference_mode_enabled()


def test_parts_are_put_together_in_their_own_order() -> None:
    passes = iter([([2, 0], torch.tensor([20.0, 0]).reshape(2, 1, 1)), ([1], torch.tensor([[[10.0]]]))])
    told: list[int] = []
    found = [part.flatten().tolist() for part in encoded_parts([0, 3, 0], passes, (1, 1), told.append)]
    assert found == [[], [0, 10, 20], []]
    assert told == [2, 1]
