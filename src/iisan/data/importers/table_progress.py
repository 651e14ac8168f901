"""Progress of the importers that read one table of items and one log."""

from __future__ import annotations

from iisan.data.media import Progress


def tables_read(progress: Progress | None, done: int) -> None:
    """Report that ``done`` of the two are read."""
    if progress is not None:
        progress(done, 2, "tables")
