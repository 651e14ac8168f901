"""Import of Hugging Face datasets: folders and hub ids."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from iisan.data.dataset import Dataset
from iisan.data.embedded_pictures import FromPath
from iisan.data.folder_pictures import existing_root
from iisan.data.importers.catalogue_options import CatalogueOptions, catalogue_columns
from iisan.data.importers.huggingface_source import HuggingFaceSource, open_source
from iisan.data.importers.log_options import LogOptions, check_log_options, log_of
from iisan.data.importers.picture_columns import read_items
from iisan.data.importers.picture_place import PicturePlaceOptions, placed
from iisan.data.importers.tables import Table, find_table
from iisan.data.importers.write_import import write_import
from iisan.data.media import Progress
from iisan.data.picture_source import FilePicture, LocalPicture
from iisan.data.staging import check_output


class HuggingFaceImport(PicturePlaceOptions, LogOptions, CatalogueOptions):
    """Options of :func:`import_huggingface`."""

    items: str = Field(
        description="Items: a hub id such as org/name, a folder written by save_to_disk or with Parquet or picture "
        "files, or a table file."
    )
    items_config: str | None = Field(None, description="Configuration (subset) of the items.")
    items_split: str | None = Field(
        None, description="Split of the items, several joined by +, or all; needed where there is more than one."
    )
    items_revision: str | None = Field(None, description="Branch, tag or commit of the items on the hub.")
    interactions: str | None = Field(
        None,
        description="Interactions: like the items; by default the same dataset, of another configuration or split.",
    )
    interactions_config: str | None = Field(None, description="Configuration (subset) of the interactions.")
    interactions_split: str | None = Field(None, description="Split of the interactions; like items_split.")
    interactions_revision: str | None = Field(None, description="Branch, tag or commit of the interactions on the hub.")


@dataclass(frozen=True)
class _Part:
    """Items or interactions, opened."""

    table: Table
    root: Path | None
    from_path: FromPath
    commit: str | None


def import_huggingface(config: HuggingFaceImport, output: Path, progress: Progress | None = None) -> Dataset:
    """Make a dataset from Hugging Face datasets; needs the package `datasets`.

    Pictures are not decoded by it: what is let in is decided as for any import. No code of a dataset is run.

    Args:
        config: The options.
        output: The folder to make; it appears whole at the end, or not at all.
        progress: Called as ``(done, total, label)``.

    Raises:
        UserError: `datasets` is not installed, a dataset is missing or cannot be downloaded, or a column, id, number or
            picture is bad; the message names it.
    """
    check_output(output, overwrite=config.overwrite)
    check_log_options(config)
    items = _open(
        config, HuggingFaceSource(config.items, config.items_config, config.items_split, config.items_revision)
    )
    columns = catalogue_columns(config, items.table.columns())
    read = read_items(items.table, columns, items.from_path)
    log = _open(config, _log_source(config, items.commit))
    raw = log_of(config, log.table, config.item_id_column)
    commits = {"items_revision": items.commit, "interactions_revision": log.commit}
    return write_import(
        config.model_copy(update={name: commit for name, commit in commits.items() if commit}),
        output,
        "huggingface",
        read.catalogue,
        raw,
        images=read.images(placed(config, read.catalogue.images, progress)),
        media_root=config.media_root or items.root,
        min_rating=config.min_rating,
        progress=progress,
    )


def _log_source(config: HuggingFaceImport, items_commit: str | None) -> HuggingFaceSource:
    name = config.interactions or config.items
    revision = config.interactions_revision or (items_commit if name == config.items else None)
    return HuggingFaceSource(name, config.interactions_config, config.interactions_split, revision)


def _open(config: HuggingFaceImport, source: HuggingFaceSource) -> _Part:
    if Path(source.name).expanduser().is_file():
        path = Path(source.name).expanduser()
        folder = config.media_root or path.parent
        return _Part(find_table(path), folder, lambda named: FilePicture(existing_root(folder), named), None)
    opened = open_source(source)
    roots = opened.roots if config.media_root is None else (existing_root(config.media_root), *opened.roots)
    local = Path(source.name).expanduser()
    return _Part(
        opened.table, local if local.is_dir() else None, lambda named: LocalPicture(roots, named), opened.commit
    )
