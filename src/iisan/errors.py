"""The one error that a user is meant to read."""

from __future__ import annotations


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
