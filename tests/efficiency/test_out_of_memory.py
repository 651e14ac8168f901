"""Real errors of memory, and others."""

from __future__ import annotations

import pytest
import torch

from iisan.efficiency.out_of_memory import is_out_of_memory


def test_the_processors_allocator_is_recognised_by_its_message() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(raised.value)


def test_errors_of_their_own_kind_are_recognised_and_others_are_not() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes differ"))
    assert not is_out_of_memory(ValueError("DefaultCPUAllocator"))
