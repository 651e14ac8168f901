"""Values of JSON as text."""

from __future__ import annotations

from typing import Any

from iisan.errors import UserError

LIST_SEPARATOR = ", "


def json_text(value: Any) -> str | None:
    """A value as text; lists are joined by a comma, null is None.

    Raises:
        UserError: It is or holds an object, or half a surrogate pair; the caller knows where.
    """
    if isinstance(value, list):
        return LIST_SEPARATOR.join(part for one in value if (part := json_text(one)))
    if isinstance(value, dict):
        raise UserError("a value is an object", how="flatten it")
    if value is None:
        return None
    text = str(value)
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise UserError("a text holds half a surrogate pair", how="mend it")
    return text
