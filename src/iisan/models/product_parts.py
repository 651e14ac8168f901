"""Into how many parts a product is cut, so that each core has some of its own.

A library that is given one product with few rows or columns divides it among its threads less well than several.
"""

from __future__ import annotations

import torch

# Of fewer rows a part is not worth its own call, and of fewer columns neither.
LEAST_ROWS, LEAST_COLUMNS = 64, 192


def row_parts(rows: int, device: torch.device) -> int:
    """The number of equal parts of the left side, which may leave a few rows over; 1 where cutting does not pay.

    Args:
        rows: Rows of the product's left side.
        device: Where it is computed; only a CPU gets parts.
    """
    threads = _threads(device)
    return threads if rows >= threads * LEAST_ROWS else 1


def column_parts(columns: int, device: torch.device) -> int:
    """The number of equal parts of the right side, with none left over; 1 where cutting does not pay.

    Args:
        columns: Columns of the product's right side.
        device: Where it is computed; only a CPU gets parts.
    """
    threads = _threads(device)
    if threads == 1:
        return 1
    # Two parts a core where they are wide enough: the core that is done first takes another.
    fit = [n for n in (2 * threads, threads) if columns % n == 0 and columns >= n * LEAST_COLUMNS]
    return fit[0] if fit else 1


def _threads(device: torch.device) -> int:
    return torch.get_num_threads() if device.type == "cpu" else 1
