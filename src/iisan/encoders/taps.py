"""Which hidden states are tapped."""

from __future__ import annotations

from iisan.encoders.config import TapSpec
from iisan.errors import UserError


def resolve_taps(spec: TapSpec, n_states: int) -> tuple[int, ...]:
    """Turn a tap specification into indices of hidden states.

    ``"paper"`` keeps every second state, from the embedding output (state 0) on, and always the last one: 0, 2, 4, 6,
    8, 10, 12 of a 12-layer model (arXiv 2404.02059, LayerDrop; contract point 1).

    Args:
        spec: ``"paper"``, ``"all"`` or indices; negative ones count from the last state.
        n_states: How many hidden states the model has: its layers and the embedding output.

    Returns:
        Strictly increasing indices in ``0..n_states-1``.

    Raises:
        UserError: An index is out of range or occurs twice.
    """
    if spec == "all":
        return tuple(range(n_states))
    if spec == "paper":
        return tuple(sorted({*range(0, n_states, 2), n_states - 1}))
    outside = [tap for tap in spec if not -n_states <= tap < n_states]
    if outside:
        raise UserError(
            f"the model has no hidden state {outside[0]}",
            where="taps",
            how=f"its states are 0 (embedding output) to {n_states - 1} (last layer)",
        )
    taps = sorted(int(tap) % n_states for tap in spec)
    if len(set(taps)) < len(taps):
        raise UserError(
            f"the same hidden state is tapped twice in {list(spec)}", where="taps", how="name each one once"
        )
    return tuple(taps)
