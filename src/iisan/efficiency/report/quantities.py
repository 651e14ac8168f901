"""Numbers as people read them."""

from __future__ import annotations

import math

KIB, MIB, GIB = 2**10, 2**20, 2**30
NONE = "–"


def significant(value: float, digits: int = 3) -> str:
    """A number of at least 0 with some significant digits, never with an exponent: 443, 22.1, 0.0154, 12,076."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    decimals = max(0, digits - 1 - math.floor(math.log10(rounded)))
    return f"{value:,.{decimals}f}"


def percent(share: float | None, digits: int = 2) -> str:
    """A fraction of one in percent, without the sign."""
    return NONE if share is None else f"{100 * share:.{digits}f}"


def memory_unit(largest: float) -> tuple[str, int]:
    """Name and bytes of the unit in which memories up to some bytes are readable."""
    for name, unit in (("GiB", GIB), ("MiB", MIB)):
        if largest >= unit:
            return name, unit
    return "KiB", KIB


def tick(value: float) -> str:
    """A round number without zeros behind the point: 10, 0.5, 3,000."""
    text = f"{value:,.9f}".rstrip("0")
    return text.removesuffix(".")


def count_tick(value: float) -> str:
    """A round count in thousands, millions or billions where it is long: 5 M."""
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{tick(value / unit)} {name}"
    return tick(value)
