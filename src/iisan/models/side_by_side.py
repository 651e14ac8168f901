"""Tensors of one shape as one tensor, without a copy where they lie at equal distances in one storage."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


def side_by_side(tensors: Sequence[Tensor]) -> Tensor:
    """``[G, ...]`` from ``G`` tensors: a view of them if they lie so, else a copy."""
    view = view_side_by_side(tensors)
    return torch.stack(list(tensors)) if view is None else view


def view_side_by_side(tensors: Sequence[Tensor]) -> Tensor | None:
    """``[G, ...]``, a view of ``G`` contiguous tensors of one shape and dtype; None if they do not lie so."""
    first = tensors[0]
    if len(tensors) == 1:
        return first.unsqueeze(0)
    if any(one.shape != first.shape or one.dtype != first.dtype or not one.is_contiguous() for one in tensors):
        return None
    places = [one.data_ptr() for one in tensors]
    step = places[1] - places[0]
    # Numbers that are nowhere (of a meta tensor) have no distance.
    if (
        step < first.nbytes
        or step % first.itemsize
        or any(after - before != step for before, after in pairwise(places))
    ):
        return None
    storage = first.untyped_storage()
    if places[-1] + first.nbytes > storage.data_ptr() + storage.nbytes():
        return None
    return first.as_strided((len(tensors), *first.shape), (step // first.itemsize, *first.stride()))


def lay_side_by_side(parameters: Sequence[nn.Parameter]) -> None:
    """Moves parameters of one shape, device and dtype into one storage, unless they lie so; they stay the same ones."""
    values = [parameter.detach() for parameter in parameters]
    if view_side_by_side(values) is not None:
        return
    together = torch.stack(values)
    for parameter, place in zip(parameters, together.unbind(), strict=True):
        parameter.data = place
