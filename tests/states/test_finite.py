"""Whether numbers are finite, for every pattern of bits that a store may hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from iisan.states.finite import all_finite, first_not_finite


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_every_number_of_sixteen_bits(dtype: torch.dtype) -> None:
    bits = torch.from_numpy(np.arange(1 << 16, dtype=np.uint16).view(np.int16))
    numbers = bits.view(dtype)
    finite = numbers.isfinite()
    assert all_finite(numbers[finite])
    for number in numbers[~finite]:
        assert not all_finite(torch.stack([torch.zeros((), dtype=dtype), number]))


@settings(max_examples=60, deadline=None)
@given(
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32]),
    rows=st.integers(1, 5),
    bad=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 3)), max_size=3),
    value=st.sampled_from([float("nan"), -float("nan"), float("inf"), -float("inf")]),
    scale=st.sampled_from([1.0, 6e4]),
)
def test_the_first_bad_vector_is_named(
    dtype: torch.dtype, rows: int, bad: list[tuple[int, int, int]], value: float, scale: float
) -> None:
    states = (torch.linspace(-1, 1, rows * 12).view(rows, 3, 4) * scale).to(dtype)
    places = [place for place in bad if place[0] < rows]
    for place in places:
        states[place] = value
    expected = min(place[:2] for place in places) if places else None
    assert first_not_finite(states) == expected
    assert first_not_finite(states.transpose(0, 1).contiguous().transpose(0, 1)) == expected


def test_nothing_is_finite() -> None:
    assert all_finite(torch.empty(0, dtype=torch.float16))
