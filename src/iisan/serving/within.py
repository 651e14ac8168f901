"""Bounds that a service was started with, which its schema does not know."""

from __future__ import annotations

from fastapi.exceptions import RequestValidationError


def within(number: int, most: int, field: str) -> None:
    """Checks a number of a request's body.

    Args:
        number: What was asked for.
        most: What this service takes.
        field: Where it stands.

    Raises:
        RequestValidationError: It is more.
    """
    if number > most:
        message = f"{number:,} are too many; this service takes at most {most:,}"
        raise RequestValidationError([{"type": "too_large", "loc": ("body", field), "msg": message, "input": number}])
