"""Messages of the library in the words of the command line: ``keep_last`` is ``--keep-last`` there."""

from __future__ import annotations

import re
from collections.abc import Iterable

# A name that stands for itself: not part of a path, a quotation or another word.
_NAME = r"(?<![\w'\"/.\-])(?P<name>{names})(?:=(?P<value>\w+))?(?![\w'\"/])"


def in_flags(text: str, options: Iterable[str]) -> str:
    """The text with options' names as flags; ``name=value`` becomes ``--flag value``.

    Only names of several words are taken for options: others are words of the language too.

    Args:
        text: What the library says.
        options: Names of options as fields.
    """
    names = sorted({name for name in options if "_" in name}, key=len, reverse=True)
    return re.sub(_NAME.format(names="|".join(names)), _flag, text) if names else text


def options_of(command: object) -> set[str]:
    """Names of the options of a command and of those below it."""
    own = {str(parameter.name) for parameter in getattr(command, "params", ())}
    return own.union(*(options_of(one) for one in getattr(command, "commands", {}).values()))


def _flag(found: re.Match[str]) -> str:
    value = found["value"]
    return f"--{found['name'].replace('_', '-')}" + (f" {value}" if value else "")
