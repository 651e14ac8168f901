"""Into how many parts the rows of a product are cut, so that each core has one of its own."""

from __future__ import annotations

import torch

# Of fewer rows a part is not worth its own call.
LEAST_ROWS = 64


def row_parts(rows: int, device: torch.device) -> int:
    """The number of equal parts, which may leave a few rows over; 1 where cutting does not pay.

    A library that is given one product with few columns divides it among its threads less well than several of them.

    Args:
        rows: Rows of the product's left side.
        device: Where it is computed; only a CPU gets parts.
    """
    parts = torch.get_num_threads() if device.type == "cpu" else 1
    return parts if rows >= parts * LEAST_ROWS else 1
