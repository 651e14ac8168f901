"""Tensors at equal distances in one storage are seen as one; all others are copied together."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from iisan.models.intra_tower import IntraTower, IntraTowers
from iisan.models.side_by_side import lay_side_by_side, side_by_side, view_side_by_side

ROOM = torch.arange(60, dtype=torch.float32).view(5, 3, 4)


@pytest.mark.parametrize("tensors", [[ROOM[0]], [ROOM[0], ROOM[1]], [ROOM[0], ROOM[2], ROOM[4]]], ids=len)
def test_at_equal_distances_they_are_a_view(tensors: list[Tensor]) -> None:
    view = view_side_by_side(tensors)
    assert view is not None
    assert torch.equal(view, torch.stack(tensors))
    assert view.data_ptr() == tensors[0].data_ptr()


@pytest.mark.parametrize(
    "tensors",
    [
        [ROOM[0], ROOM[1], ROOM[3]],
        [ROOM[1], ROOM[0]],
        [ROOM[0], ROOM[0]],
        [ROOM[0], ROOM[1].clone()],
        [ROOM[0].T, ROOM[1].T],
        [ROOM.flatten()[:12], ROOM.flatten()[6:18]],
        [torch.empty(3, device="meta"), torch.empty(3, device="meta")],
    ],
    ids=["unequal", "backward", "the-same", "elsewhere", "not-contiguous", "overlapping", "nowhere"],
)
def test_otherwise_they_are_copied(tensors: list[Tensor]) -> None:
    assert view_side_by_side(tensors) is None
    together = side_by_side(tensors)
    assert together.shape == (len(tensors), *tensors[0].shape)
    if together.device.type != "meta":
        assert torch.equal(together, torch.stack(tensors))


def test_parameters_stay_the_same_parameters() -> None:
    parameters = [nn.Parameter(torch.randn(3)) for _ in range(3)]
    before = [parameter.detach().clone() for parameter in parameters]
    lay_side_by_side(parameters)
    view = view_side_by_side([parameter.detach() for parameter in parameters])
    assert view is not None
    assert torch.equal(view, torch.stack(before))
    with torch.no_grad():
        parameters[1].fill_(7.0)
    assert view[1].eq(7.0).all()
    lay_side_by_side(parameters)  # they lie so already, and are not moved again
    assert parameters[0].data_ptr() == view.data_ptr()


def test_towers_lie_side_by_side_after_they_were_moved_too() -> None:
    towers = IntraTowers({name: IntraTower(2, 4, 3, "relu", 0.0, 0.1) for name in "ab"})
    narrow = IntraTower(2, 5, 3, "relu", 0.0, 0.1)
    towers["c"] = narrow
    state = copy.deepcopy(towers.state_dict())
    towers.double()
    for name in ("down.weight", "down.bias", "up.weight", "up.bias"):
        its = [towers.get_parameter(f"{tower}.blocks.{k}.{name}") for tower in "ab" for k in range(2)]
        view = view_side_by_side([one.detach() for one in its])
        assert view is not None
        assert view.dtype == torch.float64
    assert all(torch.equal(value, state[name].double()) for name, value in towers.state_dict().items())
