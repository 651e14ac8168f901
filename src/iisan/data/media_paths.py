"""Paths that come from data: they must stay inside the folder they are relative to."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

URL = re.compile(r"^\s*([a-zA-Z][a-zA-Z0-9+.-]*://|data:|//)")


class BadMediaError(Exception):
    """A media reference that cannot be used.

    Args:
        reason: Short name for counting, e.g. ``"unsafe_path"``.
        detail: What is wrong, for people.
        how: How to mend it.
    """

    def __init__(self, reason: str, detail: str, how: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.how = how


def relative_media_path(reference: str) -> PurePosixPath:
    """The safe relative path that a reference from data stands for; touches no file.

    Raises:
        BadMediaError: It is a URL, absolute, climbs with ``..`` or is no path at all.
    """
    if URL.match(reference):
        raise BadMediaError("url", f"{reference!r} is a URL; nothing is fetched", "download the files first")
    path = PurePosixPath(reference)
    if path.is_absolute() or ".." in path.parts or "\0" in reference or not path.parts:
        raise BadMediaError(
            "unsafe_path",
            f"{reference!r} is not a plain path relative to the media folder",
            "write paths relative to it, without '..'",
        )
    return path


def locate_media(root: Path, reference: str) -> Path:
    """The real file inside ``root`` that a reference from data stands for.

    Args:
        root: The media folder, already resolved.
        reference: Relative POSIX path as written in the data.

    Raises:
        BadMediaError: The reference is unsafe, a symbolic link leads out of ``root``, or there is no such file.
    """
    relative = relative_media_path(reference)
    try:
        real = (root / relative).resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        raise BadMediaError("missing_file", f"there is no file {reference!r} in {root}", "add it") from None
    if not real.is_relative_to(root):
        raise BadMediaError("unsafe_path", f"{reference!r} leads out of {root} by a symbolic link", "copy the file in")
    if not real.is_file():
        raise BadMediaError("missing_file", f"{reference!r} in {root} is not a file", "name a file")
    return real
