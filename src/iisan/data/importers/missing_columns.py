"""The error for columns that a table lacks."""

from __future__ import annotations

from collections.abc import Sequence

from iisan.errors import UserError


def require_columns(wanted: Sequence[str], available: Sequence[str], where: str) -> None:
    """Check that a table has the columns asked for.

    Raises:
        UserError: It lacks some; they and the ones it has are named.
    """
    missing = [name for name in dict.fromkeys(wanted) if name not in available]
    if missing:
        raise UserError(
            f"no column {', '.join(map(repr, missing))}", where=where, how=f"the columns are {', '.join(available)}"
        )
