"""What a modality may be called: its name becomes a folder's, and part of the names of a model's weights."""

from __future__ import annotations

import re
from collections.abc import Iterable

from iisan.errors import UserError

_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
# "inter" is the tower over all modalities; the others are what a container of modules does, and cannot hold.
_TAKEN = frozenset(
    [
        "inter",
        "apply",
        "buffers",
        "children",
        "clear",
        "compile",
        "cpu",
        "cuda",
        "double",
        "eval",
        "float",
        "forward",
        "half",
        "items",
        "keys",
        "modules",
        "parameters",
        "pop",
        "to",
        "train",
        "training",
        "type",
        "update",
        "values",
    ]
)


def check_modality_names(names: Iterable[str], where: str = "") -> None:
    """Checks names of modalities.

    Raises:
        UserError: A name has other characters than letters, digits, ``-`` and ``_``, or is taken.
    """
    for name in names:
        if not _FORM.fullmatch(name):
            raise UserError(
                f"a modality cannot be named {name!r}", where=where, how="name it with letters, digits, - and _"
            )
        if name in _TAKEN:
            raise UserError(
                f"a modality cannot be named {name!r}: the name is taken", where=where, how="choose another"
            )
