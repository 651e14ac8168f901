"""Import of datasets in RecBole's atomic files."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
from pydantic import Field

from iisan.data.dataset import Dataset
from iisan.data.importers.atomic_files import AtomicFile, atomic_items, open_atomic_file
from iisan.data.importers.catalogue import Catalogue, CatalogueColumns, read_catalogue
from iisan.data.importers.items_of_log import items_of_log
from iisan.data.importers.joined_logs import joined
from iisan.data.importers.log import RawLog
from iisan.data.importers.log_table import LogColumns, read_log
from iisan.data.importers.memory_table import PICTURE, MemoryTable
from iisan.data.importers.options import ImportOptions
from iisan.data.importers.table_progress import tables_read
from iisan.data.importers.write_import import write_import
from iisan.data.media import Progress
from iisan.data.staging import check_output
from iisan.data.text_template import parse_template
from iisan.errors import UserError

# Fields that RecBole's own datasets use for what people call an item, in order of preference; then any "…_title".
TITLE_FIELDS = ("title", "name", "item_name", "app_name")
RATING_FIELD = "rating"
NAMED_PARTS = ("train", "valid", "test")


class RecBoleImport(ImportOptions):
    """Options of :func:`import_recbole`; the names of fields are RecBole's USER_ID_FIELD and so on in small letters."""

    folder: Path = Field(description="Folder of the atomic files, or the one that holds it.")
    dataset: str | None = Field(
        None, description="NAME of the files NAME.inter and NAME.item; by default the only one in the folder."
    )
    benchmark_filename: tuple[str, ...] = Field(
        (),
        description="Parts of a log that is split already, as in NAME.PART.inter, oldest first; by default NAME.inter, "
        "else part1, part2 and so on, else train, valid and test.",
    )
    user_id_field: str = Field("user_id", description="Field of the user id.")
    item_id_field: str = Field("item_id", description="Field of the item id, in both files.")
    time_field: str | None = Field("timestamp", description="Field of the time; empty: the order of the rows.")
    rating_field: str | None = Field(
        None, description="Field of the rating; by default 'rating' if there is one; empty: none."
    )
    min_rating: float | None = Field(None, description="Leave out interactions rated lower; needs ratings.")
    field_separator: str | None = Field(None, description="Character between the fields of a line; by default a tab.")
    seq_separator: str | None = Field(
        None, min_length=1, description="What separates the parts of a sequence; by default a space."
    )
    text: str | None = Field(
        None,
        description="Field, or template such as '{title}. {categories}', of the modality 'text'; "
        "by default the title; empty: no text.",
    )
    title_field: str | None = Field(
        None,
        description="Field shown to people as title; by default title, name, item_name, app_name, or one that ends "
        "in _title; empty: none.",
    )
    image_field: str | None = Field(
        None, description="Field with the path of the picture, relative to media_root; makes the modality 'image'."
    )
    media_root: Path | None = Field(None, description="Folder of those pictures; by default that of the item file.")
    pictures: Path | None = Field(
        None,
        description="Instead of image_field: folder with the picture of each item as ITEM.jpg, .jpeg, .png or .webp.",
    )
    attributes: tuple[str, ...] = Field((), description="Further fields of the items to keep, as text.")
    unescape_html: bool = Field(False, description="Turn HTML entities such as &amp; in texts into characters.")
    encoding: str = Field("utf-8", description="Encoding of the files.")


def import_recbole(config: RecBoleImport, output: Path, progress: Progress | None = None) -> Dataset:
    """Make a dataset from atomic files: `NAME.inter`, or the parts it is split into, and `NAME.item`.

    Without `NAME.item` the items are those of the log, and need ``pictures``.

    Args:
        config: The options.
        output: The folder to make; it appears whole at the end, or not at all.
        progress: Called as ``(done, total, label)``.

    Raises:
        UserError: A file, header, line, field, id, number or picture is bad; the message names it.
    """
    check_output(output, overwrite=config.overwrite)
    if config.image_field and config.pictures is not None:
        raise UserError("image_field and pictures both make the modality 'image'", how="give one of them")
    folder, name = _find(config)
    raw = joined([_log(config, path) for path in _log_files(config, folder, name)], str(folder / f"{name}.inter"))
    tables_read(progress, 1)
    path = folder / f"{name}.item"
    catalogue = _catalogue(config, path) if path.is_file() else _catalogue_of_log(config, path, raw)
    tables_read(progress, 2)
    return write_import(
        config,
        output,
        "recbole",
        catalogue,
        raw,
        media_root=config.pictures or config.media_root or folder,
        min_rating=config.min_rating,
        progress=progress,
    )


def _find(config: RecBoleImport) -> tuple[Path, str]:
    """Folder and name of the dataset."""
    folder = config.folder
    if not folder.is_dir():
        raise UserError("the folder does not exist", where=str(folder), how="name another with folder")
    if config.dataset is not None:
        inside = folder / config.dataset
        return (inside if inside.is_dir() else folder), config.dataset
    names = sorted(path.name.removesuffix(".inter") for path in folder.glob("*.inter"))
    wholes = [name for name in names if "." not in name or (folder / f"{name}.item").is_file()]
    bases = sorted(set(wholes) or {name.rpartition(".")[0] for name in names})
    if len(bases) == 1:
        return folder, bases[0]
    if not bases:
        raise UserError(
            "there is no file NAME.inter", where=str(folder), how="name the folder that holds the atomic files"
        )
    raise UserError(f"several datasets: {', '.join(bases)}", where=str(folder), how="name one with dataset")


def _log_files(config: RecBoleImport, folder: Path, name: str) -> list[Path]:
    """The files of the log in order of time, as far as that is known."""
    whole = folder / f"{name}.inter"
    if not config.benchmark_filename and whole.is_file():
        return [whole]
    parts = list(config.benchmark_filename) or _parts_in_order(folder, name)
    return [folder / f"{name}.{part}.inter" for part in parts] or [whole]


def _parts_in_order(folder: Path, name: str) -> list[str]:
    prefix, suffix = f"{name}.", ".inter"
    files = [path.name for path in folder.glob("*.inter") if path.name.startswith(prefix)]
    parts = sorted(file[len(prefix) : -len(suffix)] for file in files)
    if all(re.fullmatch(r"part\d+", part) for part in parts):
        return sorted(parts, key=lambda part: int(part.removeprefix("part")))
    if set(parts) == set(NAMED_PARTS):
        return list(NAMED_PARTS)
    how = "give it with benchmark_filename"
    raise UserError(f"the order of the parts {', '.join(parts)} is not known", where=str(folder), how=how)


def _log(config: RecBoleImport, path: Path) -> RawLog:
    file = open_atomic_file(path, config.field_separator or "\t", config.encoding)
    user, item, time = config.user_id_field, config.item_id_field, config.time_field or None
    fallback = RATING_FIELD if RATING_FIELD in file.types else None
    rating = fallback if config.rating_field is None else config.rating_field or None
    _check_rows(file, item)
    if time and time not in file.types:
        how = "name it with time_field, or leave that empty if the rows are in order of time"
        there = ", ".join(file.types)
        raise UserError(f"no field {time!r} for the time", where=str(path), how=f"{how}; the fields are {there}")
    if config.min_rating is not None and not rating:
        raise UserError("min_rating needs ratings", where=str(path), how="name their field with rating_field")
    column = dict(zip(file.types, file.columns(list(file.types)), strict=True))
    file.columns([name for name in (user, item, time, rating) if name])
    return read_log(
        file.table,
        LogColumns(column[user], column[item], column[time] if time else None, column[rating] if rating else None),
    )


def _check_rows(file: AtomicFile, item: str) -> None:
    """Refuse logs whose rows are histories: read as interactions, they would lose the items of the lists."""
    lists = [name for name in (item, f"{item}_list") if file.types.get(name) == "token_seq"]
    if lists:
        how = "give the log with one interaction a row"
        raise UserError(f"the rows hold histories (field {lists[0]!r})", where=str(file.path), how=how)


def _catalogue(config: RecBoleImport, path: Path) -> Catalogue:
    file = open_atomic_file(path, config.field_separator or "\t", config.encoding)
    columns = _columns(config, file)
    table = atomic_items(file, [name for name in columns.needed() if name != PICTURE], config.seq_separator or " ")
    if config.pictures is not None:
        table = table.with_pictures(config.pictures, config.item_id_field)
    return read_catalogue(table, columns)


def _columns(config: RecBoleImport, file: AtomicFile) -> CatalogueColumns:
    named = [name for name in file.types if name.endswith("_title")]
    fallback = next((name for name in (*TITLE_FIELDS, *named) if name in file.types), "")
    text = fallback if config.text is None else config.text
    title = fallback if config.title_field is None else config.title_field
    image = config.image_field if config.pictures is None else PICTURE
    if not text and not image:
        how = f"name the field with text, or pictures; the fields are {', '.join(file.types)}"
        raise UserError("no field is a title", where=str(file.path), how=how)
    return CatalogueColumns(
        item_id=config.item_id_field,
        title=title or None,
        texts={"text": parse_template(text)} if text else {},
        images={"image": image} if image else {},
        attributes=config.attributes,
        unescape_html=config.unescape_html,
    )


def _catalogue_of_log(config: RecBoleImport, path: Path, raw: RawLog) -> Catalogue:
    """Items that nothing is known of but their pictures."""
    if config.pictures is None or config.text or config.image_field or config.attributes:
        how = "add it, or name a folder of pictures and no fields of items"
        raise UserError("the file does not exist, so there is nothing to know items by", where=str(path), how=how)
    ids = pa.array(items_of_log(raw), pa.string())
    table = MemoryTable(path, pa.table({"item_id": ids}), lambda row: f"{path}, item {row}")
    columns = CatalogueColumns("item_id", None, {}, {"image": PICTURE}, (), unescape_html=False)
    return read_catalogue(table.with_pictures(config.pictures, "item_id"), columns)
