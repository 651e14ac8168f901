"""The first few of many ids, for messages."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN = 3


def few(ids: Sequence[str]) -> str:
    """The first ids in quotes, such as ``'a', 'b', 'c'``."""
    return ", ".join(map(repr, ids[:SHOWN]))
