"""The one error that a user is meant to read."""

from __future__ import annotations

import errno
import os

# Of a device, of a user's share of it, and of one file.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class UserError(Exception):
    """Something in the input or the set-up is wrong and the user can mend it.

    The command line prints it as one line and exits with code 2; a library caller catches it like any exception.

    Args:
        what: What is wrong, e.g. ``"column 'title' is missing"``.
        where: The file, row, option or folder at fault, e.g. ``"items.csv, line 3"``.
        how: How to mend it, e.g. ``"name it with --title-column"``.
    """

    def __init__(self, what: str, *, where: str = "", how: str = "") -> None:
        self.what = what
        self.where = where
        self.how = how
        super().__init__(self._line())

    def _line(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        line = f"{line}; {self.how}" if self.how else line
        return " ".join(line.split())


def unwritable(where: object, error: OSError, *, what: str = "it", stays: str = "") -> UserError:
    """The error for what could not be written: a full disk asks for room, everything else for another place.

    Args:
        where: The file or folder.
        error: What the system said.
        what: What was to be written.
        stays: What is still there and valid, if that needs saying.
    """
    reason = os.strerror(error.errno) if error.errno else str(error)
    how = "make room there" if error.errno in FULL else "name another place, or make this one writable"
    return UserError(f"{what} cannot be written ({reason})", where=str(where), how=f"{how}; {stays}" if stays else how)
