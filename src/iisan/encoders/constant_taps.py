"""Taps that are one vector whatever the item is."""

from __future__ import annotations

import torch
from torch import Tensor

from iisan.encoders.encoder import Encoder
from iisan.errors import UserError


def find_constant_taps(encoder: Encoder) -> tuple[tuple[int, ...], Tensor]:
    """Find the taps that do not depend on the content.

    With first-token pooling the embedding output is the class token at position 0: the same vector for every item.
    Storing it once saves a row of the store per item. Only first-token pooling can make a tap constant, so other
    poolings are not probed.

    Args:
        encoder: Any encoder.

    Returns:
        The constant taps (a subset of ``encoder.taps``) and their vectors ``[T_const, D]``, fp32.

    Raises:
        UserError: Every tap is constant, as with first-token pooling of a causal model that starts with a special
            token.
    """
    if encoder.config.pooling != "first":
        return (), torch.zeros(0, encoder.width)
    one, other = encoder.encode(list(encoder.probe_contents()))  # [T, D] each
    # the first token of an embedding layer is computed without a look at the others, so equality is exact
    same = [k for k in range(len(encoder.taps)) if torch.equal(one[k], other[k])]
    if len(same) == len(encoder.taps):
        raise UserError(
            "the first token is the same for every item in all tapped layers",
            where=f"{encoder.config.model} with pooling 'first' and taps {list(encoder.taps)}",
            how="use pooling 'mean', or 'last' for a causal language model, or tap later layers too",
        )
    return tuple(encoder.taps[k] for k in same), one[same].clone()
