from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from iisan.encoders import pool
from iisan.encoders.config import Pooling


def slow_pool(hidden: torch.Tensor, mask: list[list[int]], how: str) -> torch.Tensor:
    rows = []
    for item, marks in enumerate(mask):
        real = [hidden[item, position] for position, mark in enumerate(marks) if mark]
        rows.append({"first": real[0], "last": real[-1], "mean": sum(real) / len(real)}[how])
    return torch.stack(rows)


@st.composite
def masks(draw: st.DrawFn) -> list[list[int]]:
    length = draw(st.integers(1, 7))
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        real = draw(st.integers(1, length))
        padding = [0] * (length - real)
        rows.append(padding + [1] * real if draw(st.booleans()) else [1] * real + padding)
    return rows


@settings(max_examples=60, deadline=None)
@given(mask=masks(), how=st.sampled_from(["first", "mean", "last"]), seed=st.integers(0, 99))
def test_pooling_agrees_with_a_loop_whatever_side_is_padded(mask: list[list[int]], how: Pooling, seed: int) -> None:
    hidden = torch.randn(len(mask), len(mask[0]), 3, generator=torch.Generator().manual_seed(seed))
    marks = torch.tensor(mask)
    broken = hidden.clone()
    broken[marks == 0] = float("nan")  # padding must not leak, whatever it holds
    torch.testing.assert_close(pool(broken, marks, how), slow_pool(hidden, mask, how))


@pytest.mark.parametrize("how", ["first", "mean", "last"])
def test_no_mask_means_that_all_tokens_are_real(how: Pooling) -> None:
    hidden = torch.randn(2, 5, 3)
    torch.testing.assert_close(pool(hidden, None, how), slow_pool(hidden, [[1] * 5] * 2, how))


def test_mean_of_bfloat16_is_accumulated_in_fp32() -> None:
    hidden = torch.full((1, 1000, 1), 1.0, dtype=torch.bfloat16)
    assert pool(hidden, torch.ones(1, 1000), "mean").item() == 1.0
    assert pool(hidden, None, "mean").dtype == torch.bfloat16
