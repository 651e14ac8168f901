from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iisan.data import EpochOrder
from iisan.data.epoch_order import with_next
from iisan.errors import UserError


@given(n=st.integers(0, 50), size=st.integers(1, 12), seed=st.integers(0, 2**40), epoch=st.integers(0, 1000))
def test_each_example_once_and_the_same_again(n: int, size: int, seed: int, epoch: int) -> None:
    order = EpochOrder(n, size, seed)
    batches = [batch.tolist() for batch in order.batches(epoch)]
    assert len(batches) == order.n_batches
    assert sorted(position for batch in batches for position in batch) == list(range(n))
    assert all(len(batch) == size for batch in batches[:-1])
    again = [batch.tolist() for batch in EpochOrder(n, size, seed).batches(epoch)]
    assert again == batches


@given(n=st.integers(1, 40), size=st.integers(1, 7), start=st.integers(0, 45))
def test_goes_on_where_it_stopped(n: int, size: int, start: int) -> None:
    order = EpochOrder(n, size, 3)
    whole = [batch.tolist() for batch in order.batches(2)]
    assert [batch.tolist() for batch in order.batches(2, start)] == whole[start:]


def test_epochs_and_seeds_differ() -> None:
    orders = [
        np.concatenate(list(EpochOrder(100, 10, seed).batches(epoch))).tolist()
        for seed in range(3)
        for epoch in range(3)
    ]
    assert len({tuple(order) for order in orders}) == 9


@pytest.mark.parametrize("wrong", [(10, 0, 1), (-1, 5, 1), (10, 5, -1)])
def test_refuses_what_makes_no_epoch(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(UserError, match="no epoch"):
        EpochOrder(*wrong)


@pytest.mark.parametrize("n", [0, 1, 7])
def test_each_batch_comes_with_the_one_after_it(n: int) -> None:
    batches = list(EpochOrder(n, 3, 0).batches(0))
    pairs = list(with_next(iter(batches)))
    assert [batch.tolist() for batch, _ in pairs] == [batch.tolist() for batch in batches]
    following = [None if batch is None else batch.tolist() for _, batch in pairs]
    assert following == [*(batch.tolist() for batch in batches[1:]), None][: len(batches)]
