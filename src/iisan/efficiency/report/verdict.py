"""Whether the comparison came out as the paper has it."""

from __future__ import annotations

from collections.abc import Mapping

from iisan.efficiency.report.method_kinds import CACHED, is_adapted


def verdict(values: Mapping[str, float]) -> str | None:
    """Whether IISAN cached has the lowest TPME of the adapted methods, in one line.

    Args:
        values: TPME by method.

    Returns:
        None where IISAN cached or anything to hold it against is not among them.
    """
    others = {method: value for method, value in values.items() if is_adapted(method) and method != CACHED}
    if CACHED not in values or not others:
        return None
    best = min(others, key=lambda method: others[method])
    pair = f"IISAN cached {values[CACHED]:.3f}, {best} {others[best]:.3f}"
    if values[CACHED] <= others[best]:
        return f"IISAN cached has the lowest TPME of the adapted methods: {pair}."
    return f"IISAN cached does not have the lowest TPME of the adapted methods: {pair}."
