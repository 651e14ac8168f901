"""Import of MicroLens (50k, 100k, 1M) as its authors publish it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from iisan.data.dataset import Dataset
from iisan.data.importers.catalogue import Catalogue, CatalogueColumns, read_catalogue
from iisan.data.importers.delimited_table import DelimitedTable
from iisan.data.importers.log import RawLog
from iisan.data.importers.log_table import LogColumns, read_log
from iisan.data.importers.memory_table import PICTURE
from iisan.data.importers.microlens_items import no_titles, read_titles, with_counts, with_covers
from iisan.data.importers.options import ImportOptions
from iisan.data.importers.table_progress import tables_read
from iisan.data.importers.user_histories import read_user_histories
from iisan.data.importers.write_import import write_import
from iisan.data.media import Progress
from iisan.data.staging import check_output
from iisan.data.text_template import parse_template
from iisan.errors import UserError

PAIRS = ("*_pairs.csv", "*_pairs.tsv")
TITLES = ("*_titles.csv", "*_title_en.csv", "*_title.csv")
COVERS = ("*_covers",)
COUNTS = ("*_likes_and_views.txt",)
# The column names of the files, and those that their readme gives.
PAIRS_HEADERS = (LogColumns("user", "item", "timestamp"), LogColumns("userID", "videoID", "timestamp"))


class MicroLensImport(ImportOptions):
    """Options of :func:`import_microlens`."""

    folder: Path = Field(description="Folder with the files as they were downloaded.")
    pairs: Path | None = Field(
        None,
        description="The log: *_pairs.csv (user,item,timestamp) or *_pairs.tsv (user<TAB>items separated by spaces); "
        "by default the one in the folder, .csv first.",
    )
    titles: Path | Literal["auto"] | None = Field(
        "auto",
        description="Titles: *_titles.csv (item,title under a header) or *_title_en.csv (without one); "
        "auto: the ones in the folder, if there are any.",
    )
    pictures: Path | Literal["auto"] | None = Field(
        "auto",
        description="Folder with the cover of each video as ITEM.jpg; "
        "auto: the folder *_covers in folder, if there is one.",
    )
    attributes: tuple[Literal["likes", "views"], ...] = Field(
        (),
        description="Keep likes or views of *_likes_and_views.txt as text; "
        "they were counted when the data were collected, so they know what came after an interaction.",
    )


def import_microlens(config: MicroLensImport, output: Path, progress: Progress | None = None) -> Dataset:
    """Make a dataset from MicroLens.

    The items are those with a title, in the order of their file, and then those of the log that have only a cover.
    Times stay milliseconds since 1970; of ``*_pairs.tsv``, which has none, the order of a line is the time.

    Args:
        config: The options.
        output: The folder to make; it appears whole at the end, or not at all.
        progress: Called as ``(done, total, label)``.

    Raises:
        UserError: A file is missing or could be several, or a line, id or picture is bad; the message names it.
    """
    check_output(output, overwrite=config.overwrite)
    if not config.folder.is_dir():
        raise UserError("the folder does not exist", where=str(config.folder), how="name another with folder")
    raw = _log(config.pairs or _pairs(config.folder))
    tables_read(progress, 1)
    catalogue, pictures = _catalogue(config, raw)
    tables_read(progress, 2)
    return write_import(config, output, "microlens", catalogue, raw, media_root=pictures, progress=progress)


def _catalogue(config: MicroLensImport, raw: RawLog) -> tuple[Catalogue, Path | None]:
    """The items, and the folder of their pictures."""
    titles = _only(config.folder, TITLES, "titles") if config.titles == "auto" else config.titles
    pictures = _only(config.folder, COVERS, "pictures") if config.pictures == "auto" else config.pictures
    if titles is None and pictures is None:
        how = "add the titles or the covers, or name them with titles or pictures"
        raise UserError("the items have neither titles nor covers", where=str(config.folder), how=how)
    table = read_titles(titles) if titles is not None else no_titles(config.folder)
    if pictures is not None:
        table = with_covers(table, pictures, raw)
    if config.attributes:
        table = with_counts(table, _counts(config.folder), config.attributes)
    columns = CatalogueColumns(
        item_id="item_id",
        title="title",
        texts={} if titles is None else {"text": parse_template("title")},
        images={} if pictures is None else {"image": PICTURE},
        attributes=config.attributes,
        unescape_html=False,
    )
    return read_catalogue(table, columns), pictures


def _counts(folder: Path) -> Path:
    found = _only(folder, COUNTS, "attributes")
    if found is None:
        raise UserError(f"there is no {COUNTS[0]}", where=str(folder), how="leave attributes out")
    return found


def _pairs(folder: Path) -> Path:
    for pattern in PAIRS:
        found = _only(folder, (pattern,), "pairs")
        if found is not None:
            return found
    raise UserError(f"there is no {PAIRS[0]} or {PAIRS[1]}", where=str(folder), how="name the log with pairs")


def _only(folder: Path, patterns: Sequence[str], option: str) -> Path | None:
    """The one entry of a folder that a pattern fits, or None."""
    found = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    if len(found) > 1:
        listed = ", ".join(path.name for path in found)
        raise UserError(f"{listed} are there", where=str(folder), how=f"name the one to read with {option}")
    return found[0] if found else None


def _log(path: Path) -> RawLog:
    if path.suffix == ".tsv":
        return read_user_histories(path)
    first = DelimitedTable(path, ",", quoted=True).columns()
    for columns in PAIRS_HEADERS:
        if set(columns.names()) <= set(first):
            return read_log(DelimitedTable(path, ",", quoted=True), columns)
    if len(first) == 3 and first[2].strip().isdigit():
        columns = PAIRS_HEADERS[0]
        return read_log(DelimitedTable(path, ",", quoted=True, names=tuple(columns.names())), columns)
    how = f"the first line should name them, or be three fields; it has {', '.join(first)}"
    raise UserError("no columns user, item and timestamp", where=str(path), how=how)
