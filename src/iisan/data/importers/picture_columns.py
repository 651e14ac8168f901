"""Picture columns of a table of items: some hold paths, some the pictures themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import pyarrow as pa

from iisan.data.contents import Images
from iisan.data.embedded_pictures import FromPath, holds_pictures
from iisan.data.importers.catalogue import Catalogue, CatalogueColumns, read_catalogue
from iisan.data.importers.missing_columns import require_columns
from iisan.data.importers.tables import Table
from iisan.data.picture_source import PictureSource
from iisan.errors import UserError


@runtime_checkable
class PictureTable(Table, Protocol):
    """A table whose columns may hold pictures, not only what can be written as text."""

    def type_of(self, column: str) -> pa.DataType:
        """The type of a column."""
        ...

    def pictures(self, column: str, from_path: FromPath) -> PictureSource:
        """The pictures of a column of which :func:`holds_pictures` is true; read bit by bit."""
        ...


@dataclass(frozen=True)
class Items:
    """A catalogue, and those of its pictures that stand in the table itself.

    Attributes:
        catalogue: The catalogue; its images are the columns that hold paths.
        held: The pictures of the other columns, by modality.
        order: All image modalities in the order of the options.
    """

    catalogue: Catalogue
    held: Mapping[str, PictureSource]
    order: tuple[str, ...]

    def images(self, placed: Mapping[str, Images]) -> dict[str, Images]:
        """All pictures, given those that are named by path, by modality."""
        found = {**placed, **self.held}
        return {modality: found[modality] for modality in self.order}


def read_items(table: Table, columns: CatalogueColumns, from_path: FromPath) -> Items:
    """Read the items table; columns that hold pictures and not paths are left to be read bit by bit.

    Args:
        table: The items.
        columns: What its columns become.
        from_path: The picture that a value names where it has a path in place of bytes.

    Raises:
        UserError: See :func:`iisan.data.importers.catalogue.read_catalogue`; or an image column holds neither paths nor
            pictures.
    """
    require_columns(columns.needed(), table.columns(), str(table.path))
    held = {}
    if isinstance(table, PictureTable):
        held = {
            modality: table.pictures(column, from_path)
            for modality, column in columns.images.items()
            if _holds_pictures(table, column)
        }
    paths = {modality: column for modality, column in columns.images.items() if modality not in held}
    return Items(read_catalogue(table, replace(columns, images=paths)), held, tuple(columns.images))


def _holds_pictures(table: PictureTable, column: str) -> bool:
    kind = table.type_of(column)
    if not holds_pictures(kind) and _is_nested(kind):
        raise UserError(f"column {column!r} holds {kind}", where=str(table.path), how="keep one picture or path a row")
    return holds_pictures(kind)


def _is_nested(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return not (pa.types.is_string(kind.value_type) or pa.types.is_large_string(kind.value_type))
    return bool(pa.types.is_nested(kind))
