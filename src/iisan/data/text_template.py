"""One text made of several columns, without dangling separators where a column is empty."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter

from iisan.errors import UserError

OPENERS = re.compile(r'[(\[{<«“"]*$')
CLOSERS = re.compile(r'^[)\]}>»”"]*')


@dataclass(frozen=True)
class TextTemplate:
    """A template such as ``"{title} ({year}). {genres}"``.

    Brackets and double quotes that touch a field belong to it; what is left between two fields is their separator. An
    empty field is left out with what belongs to it and the separator before it. Where the first fields are empty, the
    text starts with the first that is not. What stands before the first field and after the last stays. Where all are
    empty there is no text at all.

    Attributes:
        prefix: What stands before the first field.
        fields: Column names, in order.
        separators: What stands before each field; that of the first is empty.
        openers: Opening brackets or quotes straight before each field.
        closers: Closing brackets or quotes straight after each field.
        suffix: What stands after the last field.
    """

    prefix: str
    fields: tuple[str, ...]
    separators: tuple[str, ...]
    openers: tuple[str, ...]
    closers: tuple[str, ...]
    suffix: str

    def render(self, row: Mapping[str, str | None]) -> str | None:
        """The text of one item, or None where all its fields are empty."""
        parts: list[str] = []
        for field, separator, opener, closer in zip(
            self.fields, self.separators, self.openers, self.closers, strict=True
        ):
            value = row[field]
            if value is None or not value.strip():
                continue
            parts += [separator if parts else self.prefix, opener, value, closer]
        return "".join([*parts, self.suffix]) if parts else None


def parse_template(template: str) -> TextTemplate:
    """Read a template, or a bare column name, which stands for ``"{column}"``.

    Raises:
        UserError: Braces do not match, a field is unnamed or has a conversion or format.
    """
    if "{" not in template and "}" not in template:
        return TextTemplate("", (template,), ("",), ("",), ("",), "")
    try:
        pieces = list(Formatter().parse(template))
    except ValueError as error:
        raise UserError(f"the template {template!r} is malformed ({error})", how=_HOW) from error
    literals, fields = _literals_and_fields(template, pieces)
    closers = [_matched(CLOSERS, literal) for literal in literals[1:]]
    rest = [literals[0], *(literal[len(closer) :] for literal, closer in zip(literals[1:], closers, strict=True))]
    openers = [_matched(OPENERS, literal) for literal in rest[:-1]]
    outer = [literal[: len(literal) - len(opener)] for literal, opener in zip(rest[:-1], openers, strict=True)]
    return TextTemplate(outer[0], tuple(fields), ("", *outer[1:]), tuple(openers), tuple(closers), rest[-1])


_HOW = "write it like '{title}. {genres}', with {{ and }} for braces"


def _literals_and_fields(
    template: str, pieces: list[tuple[str, str | None, str | None, str | None]]
) -> tuple[list[str], list[str]]:
    literals, fields = [""], []
    for literal, field, spec, conversion in pieces:
        literals[-1] += literal
        if field is None:
            continue
        if not field or spec or conversion:
            raise UserError(f"the template {template!r} may hold plain column names only", how=_HOW)
        fields.append(field)
        literals.append("")
    if not fields:
        raise UserError(f"the template {template!r} names no column", how=_HOW)
    return literals, fields


def _matched(pattern: re.Pattern[str], literal: str) -> str:
    match = pattern.search(literal)
    return match.group() if match else ""
