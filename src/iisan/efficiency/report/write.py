"""The files of a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from iisan.efficiency.report.comparison import Comparison
from iisan.efficiency.report.csv_report import as_csv
from iisan.efficiency.report.html_report import as_html
from iisan.efficiency.report.json_report import as_json
from iisan.efficiency.report.markdown_report import as_markdown
from iisan.errors import unwritable
from iisan.states.atomic import replacing

# HTML is last: it alone needs a package that may be missing, and the others are then there.
FORMS: dict[str, Callable[[Comparison], str]] = {
    "report.json": as_json,
    "report.csv": as_csv,
    "report.md": as_markdown,
    "report.html": as_html,
}


def write_reports(comparison: Comparison, folder: Path) -> list[Path]:
    """Writes ``report.json``, ``report.csv``, ``report.md`` and ``report.html``; each is replaced whole.

    Args:
        comparison: What to report.
        folder: Where to; made if need be.

    Returns:
        The files.

    Raises:
        UserError: The folder cannot be written, or the package that draws the HTML report's plots is not installed (the
            other three files are written before that).
    """
    return [_write(folder / name, form(comparison)) for name, form in FORMS.items()]


def _write(path: Path, text: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise unwritable(path, error, what="the report") from error
    return path
