"""What a check found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["ok", "warning", "error"]

# Named in a finding; the count says how many there are.
EXAMPLES = 5


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check: Name of the check.
        about: What it looked at where it runs more than once: a modality, a part of the split; else empty.
        severity: ``error``: training would fail or learn something wrong; ``warning``: to be known when results are
            read; ``ok``: nothing, or too little to matter.
        count: How many were found.
        total: Of how many.
        unit: What is counted, e.g. ``"items"``.
        what: What they have in common, in words that follow the count.
        examples: The first few.
        how: What to do about it; empty where the severity is ``ok``.
    """

    check: str
    about: str
    severity: Severity
    count: int
    total: int
    unit: str
    what: str
    examples: tuple[str, ...] = ()
    how: str = ""

    @property
    def share(self) -> float:
        """Count over total, 0 where there is nothing to count."""
        return self.count / self.total if self.total else 0.0

    def as_data(self) -> dict[str, Any]:
        """JSON-able form."""
        return {**vars(self), "examples": list(self.examples), "share": self.share}


def finding(
    check: str,
    severity: Severity,
    count: int,
    total: int,
    unit: str,
    what: str,
    *,
    how: str,
    about: str = "",
    examples: Iterable[str] = (),
) -> Finding:
    """A finding that is ``ok`` where the count is 0, with the first few examples.

    Args:
        check: Name of the check.
        severity: If the count is above 0.
        count: How many were found.
        total: Of how many.
        unit: What is counted.
        what: What they have in common.
        how: What to do about it.
        about: What the check looked at.
        examples: Any number; the first few are kept.
    """
    severity = severity if count else "ok"
    advice = "" if severity == "ok" else how
    shown = tuple(one for one, _ in zip(examples, range(EXAMPLES), strict=False)) if count else ()
    return Finding(check, about, severity, int(count), int(total), unit, what, shown, advice)
