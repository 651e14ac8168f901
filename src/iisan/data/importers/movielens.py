"""Import of the MovieLens datasets as GroupLens publishes them, from 100K to 32M and latest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from iisan.data.dataset import Dataset
from iisan.data.importers.catalogue import CatalogueColumns, read_catalogue
from iisan.data.importers.delimited_table import DelimitedTable
from iisan.data.importers.double_colon import read_double_colon_log
from iisan.data.importers.log import RawLog
from iisan.data.importers.log_table import LogColumns, read_log
from iisan.data.importers.memory_table import PICTURE, MemoryTable
from iisan.data.importers.movie_items import movies_of_100k, movies_of_csv, movies_of_dat
from iisan.data.importers.options import ImportOptions
from iisan.data.importers.table_progress import tables_read
from iisan.data.importers.write_import import write_import
from iisan.data.media import Progress
from iisan.data.staging import check_output
from iisan.data.text_template import parse_template
from iisan.errors import UserError

POSTERS = "posters"


class MovieLensImport(ImportOptions):
    """Options of :func:`import_movielens`."""

    folder: Path = Field(description="Folder with the unpacked files; their names tell which layout it is.")
    text: str = Field(
        "{title}. {genres}",
        description="Template of the modality 'text'; its fields are title (as written), plain_title (without the "
        "year), year and genres; empty: no text.",
    )
    pictures: Path | Literal["auto"] | None = Field(
        "auto",
        description="Folder with the picture of each film as ITEM.jpg, .jpeg, .png or .webp; may lack some; auto: "
        f"the folder '{POSTERS}' beside the files, if there is one.",
    )
    min_rating: float | None = Field(None, description="Leave out interactions rated lower.")
    attributes: tuple[str, ...] = Field((), description="Fields to keep as text, such as year.")


@dataclass(frozen=True)
class Layout:
    """One of the layouts.

    Attributes:
        files: What must be there, the films first, then the ratings.
        movies: Reads the films.
        ratings: Reads the log.
    """

    files: tuple[str, ...]
    movies: Callable[[Path], MemoryTable]
    ratings: Callable[[Path], RawLog]


def import_movielens(config: MovieLensImport, output: Path, progress: Progress | None = None) -> Dataset:
    """Make a dataset from an unpacked MovieLens folder.

    The layout is told by the files: `u.item`, `u.genre` and `u.data` (100K), `movies.dat` and `ratings.dat` (1M, 10M),
    `movies.csv` and `ratings.csv` (20M, 25M, 32M, latest). Ratings and times are kept, times in seconds since 1970.

    Args:
        config: The options.
        output: The folder to make; it appears whole at the end, or not at all.
        progress: Called as ``(done, total, label)``.

    Raises:
        UserError: No layout is recognised, or a file, line, id, number or picture is bad; the message names it.
    """
    check_output(output, overwrite=config.overwrite)
    layout = _layout(config.folder)
    pictures = _pictures(config)
    if not config.text and pictures is None:
        raise UserError("the items have neither text nor pictures", how="give a template with text, or pictures")
    movies = layout.movies(config.folder)
    if pictures is not None:
        movies = movies.with_pictures(pictures, "item_id")
    columns = CatalogueColumns(
        item_id="item_id",
        title="title",
        texts={"text": parse_template(config.text)} if config.text else {},
        images={} if pictures is None else {"image": PICTURE},
        attributes=config.attributes,
        unescape_html=False,
    )
    catalogue = read_catalogue(movies, columns)
    tables_read(progress, 1)
    raw = layout.ratings(config.folder)
    tables_read(progress, 2)
    return write_import(
        config,
        output,
        "movielens",
        catalogue,
        raw,
        media_root=pictures,
        min_rating=config.min_rating,
        progress=progress,
    )


def _pictures(config: MovieLensImport) -> Path | None:
    if config.pictures != "auto":
        return config.pictures
    beside = config.folder / POSTERS
    return beside if beside.is_dir() else None


def _layout(folder: Path) -> Layout:
    if not folder.is_dir():
        raise UserError("the folder does not exist", where=str(folder), how="name another with folder")
    there = [layout for layout in LAYOUTS if all((folder / name).is_file() for name in layout.files)]
    if len(there) == 1:
        return there[0]
    listed = "; ".join(" and ".join(layout.files) for layout in LAYOUTS)
    if there:
        raise UserError("more than one layout of MovieLens", where=str(folder), how=f"leave the files of one: {listed}")
    for layout in LAYOUTS:
        missing = [name for name in layout.files if not (folder / name).is_file()]
        if len(missing) < len(layout.files):
            how = f"it lies beside {', '.join(name for name in layout.files if name not in missing)} in the archive"
            raise UserError(f"there is no {missing[0]}", where=str(folder), how=how)
    raise UserError("no layout of MovieLens", where=str(folder), how=f"unpack the archive; looked for {listed}")


def _ratings_of_100k(folder: Path) -> RawLog:
    table = DelimitedTable(folder / "u.data", "\t", quoted=False, names=("user", "item", "rating", "timestamp"))
    return read_log(table, LogColumns("user", "item", "timestamp", "rating"))


def _ratings_of_csv(folder: Path) -> RawLog:
    # No field of it is ever quoted, and without quotes it is read faster.
    table = DelimitedTable(folder / "ratings.csv", ",", quoted=False)
    return read_log(table, LogColumns("userId", "movieId", "timestamp", "rating"))


LAYOUTS = (
    Layout(
        ("u.item", "u.genre", "u.data"),
        lambda folder: movies_of_100k(folder / "u.item", folder / "u.genre"),
        _ratings_of_100k,
    ),
    Layout(
        ("movies.dat", "ratings.dat"),
        lambda folder: movies_of_dat(folder / "movies.dat"),
        lambda folder: read_double_colon_log(folder / "ratings.dat"),
    ),
    Layout(("movies.csv", "ratings.csv"), lambda folder: movies_of_csv(folder / "movies.csv"), _ratings_of_csv),
)
