"""The films of MovieLens in its three layouts, brought to one table."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from iisan.data.importers.delimited_table import DelimitedTable
from iisan.data.importers.double_colon import double_colon_lines
from iisan.data.importers.memory_table import MemoryTable, lines_of
from iisan.errors import UserError

logger = logging.getLogger(__name__)

MOVIE_FIELDS = ("item_id", "title", "plain_title", "year", "genres")

# The last bracket with a year, or with the years of a series: "(1995)", "(2009–2015)", "(2009– )".
YEAR = re.compile(r"\s*\((\d{4})(?:\s*[-–]\s*(?:\d{4})?)?\s*\)(?!.*\(\d{4})")
NO_GENRES = ("(no genres listed)", "unknown")
GENRE_SEPARATOR = ", "
# Of `u.item` before the genres: id, title, release date, video release date, address.
FIELDS_BEFORE_GENRES = 5


def movies_of_100k(path: Path, genres: Path) -> MemoryTable:
    """Read `u.item` (bars; a column of 0 or 1 for each genre) with the names of `u.genre`.

    Raises:
        UserError: A file is missing or empty, or a line is malformed.
    """
    names = _genre_names(genres)
    rows, numbers = [], []
    for number, line in enumerate(decoded(path).split("\n"), start=1):
        if not line.strip():
            continue
        fields = line.rstrip("\r").split("|")
        expected = FIELDS_BEFORE_GENRES + len(names)
        flags = fields[FIELDS_BEFORE_GENRES:]
        if len(fields) != expected or not set(flags) <= {"0", "1"}:
            what = f"not {FIELDS_BEFORE_GENRES} fields and 0 or 1 for each of {len(names)} genres, separated by bars"
            raise UserError(what, where=f"{path}, line {number}", how=f"mend the line, or {genres}")
        chosen = [name for name, flag in zip(names, flags, strict=True) if flag == "1"]
        rows.append((fields[0], fields[1], chosen))
        numbers.append(number)
    return _movies(path, rows, lines_of(path, numbers))


def movies_of_dat(path: Path) -> MemoryTable:
    """Read `movies.dat`: `id::title::genres`, genres separated by bars.

    Raises:
        UserError: The file is missing or empty, or a line is malformed.
    """
    rows, numbers = [], []
    for number, fields in double_colon_lines(path, decoded(path)):
        if len(fields) != 3:
            where = f"{path}, line {number}"
            raise UserError(f"{len(fields)} fields instead of 3", where=where, how="write item::title::genres")
        rows.append((fields[0], fields[1], fields[2].split("|")))
        numbers.append(number)
    return _movies(path, rows, lines_of(path, numbers))


def movies_of_csv(path: Path) -> MemoryTable:
    """Read `movies.csv`: `movieId,title,genres` with quotes, genres separated by bars.

    Raises:
        UserError: The file is missing or empty, a column is missing, or a line is malformed.
    """
    table = DelimitedTable(path, ",", quoted=True)
    columns = table.read(["movieId", "title", "genres"]).to_pydict()
    ids, titles, genres = columns["movieId"], columns["title"], columns["genres"]
    rows = [(one, title, listed.split("|")) for one, title, listed in zip(ids, titles, genres, strict=True)]
    return _movies(path, rows, table.where)


def decoded(path: Path) -> str:
    """The text of a file that is UTF-8 (10M) or Latin-1 (100K, 1M), as its bytes tell.

    Raises:
        UserError: The file cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        what = f"the file cannot be read ({error.strerror or error})"
        raise UserError(what, where=str(path), how="mend its rights") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        logger.info("%s is not UTF-8 and read as Latin-1", path)
        return content.decode("latin-1")


def year_of(title: str) -> str | None:
    """The year that stands in brackets in a title, the first of a series."""
    match = YEAR.search(title)
    return match.group(1) if match else None


def _genre_names(path: Path) -> list[str]:
    lines = [line for line in decoded(path).split("\n") if line.strip()]
    names = [line.split("|")[0].strip() for line in lines]
    if not names:
        raise UserError("the file names no genre", where=str(path), how="copy it again, whole")
    return names


def _movies(path: Path, rows: Sequence[tuple[str, str, list[str]]], where: Callable[[int], str]) -> MemoryTable:
    if not rows:
        raise UserError("the file is empty", where=str(path), how="copy it again, whole")
    columns: dict[str, list[str | None]] = {name: [] for name in MOVIE_FIELDS}
    for item_id, title, genres in rows:
        listed = [name.strip() for name in genres if name.strip() and name.strip() not in NO_GENRES]
        values = (item_id, title, YEAR.sub("", title).strip(), year_of(title), GENRE_SEPARATOR.join(listed))
        for name, value in zip(MOVIE_FIELDS, values, strict=True):
            columns[name].append(value)
    return MemoryTable(path, pa.table({name: pa.array(columns[name], pa.string()) for name in MOVIE_FIELDS}), where)
