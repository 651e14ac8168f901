"""Items' own vectors."""

from __future__ import annotations

import torch

from iisan.models.own_vectors import OwnVectors


def test_start_at_zero_so_that_content_decides() -> None:
    assert torch.equal(OwnVectors(5, 3, 0.0)(torch.tensor([0, 4])), torch.zeros(2, 3))


def test_whole_vectors_are_left_out_in_training_only() -> None:
    torch.manual_seed(0)
    own = OwnVectors(1000, 4, 0.25)
    with torch.no_grad():
        own.table.weight.fill_(1.0)
    rows = torch.arange(1000)
    out = own(rows)
    assert set(out.sum(dim=1).tolist()) == {0.0, 4.0}
    assert 0.7 < out.mean().item() < 0.8
    assert torch.equal(own.eval()(rows), torch.ones(1000, 4))


def test_rows_beyond_the_table_have_none_after_training() -> None:
    own = OwnVectors(3, 2, 0.5).eval()
    with torch.no_grad():
        own.table.weight.fill_(1.0)
    assert own(torch.tensor([2, 3, 0, 99]))[:, 0].tolist() == [1.0, 0.0, 1.0, 0.0]
