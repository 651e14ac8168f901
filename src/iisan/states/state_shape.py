"""The shape that a tensor of states may have."""

from __future__ import annotations

from collections.abc import Sequence

from iisan.errors import UserError


def as_taps(shape: Sequence[int], where: str) -> tuple[int, int, int]:
    """``[N, T, D]`` as it is, ``[N, D]`` as one tap.

    Raises:
        UserError: It is neither, or nothing is in it.
    """
    if len(shape) not in (2, 3):
        raise UserError(
            f"the states have shape {list(shape)}",
            where=where,
            how="bring them as [items, taps, width], or [items, width]",
        )
    if 0 in shape:
        raise UserError(f"no states are in it (shape {list(shape)})", where=where)
    n, *taps, width = shape
    return n, taps[0] if taps else 1, width
