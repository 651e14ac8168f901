"""What travels with a model, without the names of folders of the machine that it was trained on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

logger = logging.getLogger(__name__)

# Columns of an items table and templates for its texts, which may begin with a slash and name no folder.
COLUMNS = "columns"


def portable_details(details: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a model's details in which an absolute path is replaced by its last part; each is logged."""
    return {key: value if key == COLUMNS else portable(value) for key, value in details.items()}


def portable(value: Any) -> Any:
    """Plain data with each text that is an absolute path replaced by its last part."""
    if isinstance(value, Mapping):
        return {key: portable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [portable(one) for one in value]
    name = _last_part(value) if isinstance(value, str) else None
    if name is None:
        return value
    logger.warning("%r is a path of this machine: the export says %r", value, name)
    return name


def _last_part(text: str) -> str | None:
    """The last part of an absolute path, None where a text is something else."""
    for kind in (PurePosixPath, PureWindowsPath):
        path = kind(text)
        if path.is_absolute() and path.name:
            return path.name
    return None
