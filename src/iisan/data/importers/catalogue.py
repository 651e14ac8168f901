"""From the items table to ids, titles, texts, picture references and attributes."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from iisan.data.contents import Texts, check_names
from iisan.data.importers.columns import texts
from iisan.data.importers.item_ids import distinct_item_ids
from iisan.data.importers.missing_columns import require_columns
from iisan.data.importers.tables import Table
from iisan.data.manifest import RESERVED_COLUMNS
from iisan.data.modality_names import check_modality_names
from iisan.data.text_template import TextTemplate, parse_template
from iisan.errors import UserError


@dataclass(frozen=True)
class CatalogueColumns:
    """Which columns of the items table become what.

    Attributes:
        item_id: Column of the id.
        title: Column of the display title, or None.
        texts: Template of each text modality.
        images: Column of each image modality.
        attributes: Columns to keep.
        unescape_html: Whether HTML entities in texts become characters.
    """

    item_id: str
    title: str | None
    texts: dict[str, TextTemplate]
    images: dict[str, str]
    attributes: tuple[str, ...]
    unescape_html: bool

    def __post_init__(self) -> None:
        """Check the names.

        Raises:
            UserError: Two modalities or attributes share a name.
        """
        check_names([*RESERVED_COLUMNS, *self.texts, *self.images, *self.attributes])
        check_modality_names([*self.texts, *self.images])

    def needed(self) -> list[str]:
        """All columns that are read, each once."""
        fields = [field for template in self.texts.values() for field in template.fields]
        titles = [self.title] if self.title else []
        return list(dict.fromkeys([self.item_id, *titles, *fields, *self.images.values(), *self.attributes]))


@dataclass(frozen=True)
class Catalogue:
    """The items, each list ``[N]`` in the order of the table."""

    item_ids: list[str]
    titles: Texts
    texts: dict[str, Texts]
    images: dict[str, Texts]
    attributes: dict[str, Texts]


def read_catalogue(table: Table, columns: CatalogueColumns) -> Catalogue:
    """Read the items table.

    Raises:
        UserError: A column is missing, a line is malformed, or an id is missing, blank or repeated.
    """
    needed = columns.needed()
    require_columns(needed, table.columns(), str(table.path))
    raw = table.read(needed)
    item_ids = distinct_item_ids(raw.column(columns.item_id), table.where)
    as_written = {name: texts(raw.column(name), table.where) for name in needed}
    shown = {name: unescaped(values) for name, values in as_written.items()} if columns.unescape_html else as_written
    return Catalogue(
        item_ids=item_ids,
        titles=shown[columns.title] if columns.title else [None] * len(item_ids),
        texts={name: composed(template, shown) for name, template in columns.texts.items()},
        images={name: as_written[column] for name, column in columns.images.items()},
        attributes={name: shown[name] for name in columns.attributes},
    )


def named_parts(options: Sequence[str]) -> dict[str, str]:
    """Options of the form ``NAME=VALUE`` as a mapping.

    Raises:
        UserError: One has no ``=`` or an empty side, or a name repeats.
    """
    parts: dict[str, str] = {}
    for option in options:
        name, _, value = option.partition("=")
        if not name.strip() or not value.strip() or name in parts:
            raise UserError(
                f"{option!r} is not NAME=VALUE with a name of its own", how="write it like 'cover=cover_path'"
            )
        parts[name] = value
    return parts


def named_templates(options: Sequence[str]) -> dict[str, TextTemplate]:
    """Options of the form ``NAME=TEMPLATE`` as templates.

    Raises:
        UserError: See :func:`named_parts` and :func:`iisan.data.text_template.parse_template`.
    """
    return {name: parse_template(template) for name, template in named_parts(options).items()}


def unescaped(values: Sequence[str | None]) -> list[str | None]:
    """Texts with HTML entities turned into characters."""
    return [None if value is None else html.unescape(value) for value in values]


def composed(template: TextTemplate, columns: dict[str, list[str | None]]) -> list[str | None]:
    """The text of each row by a template; None where all its fields are empty."""
    rows = zip(*(columns[field] for field in template.fields), strict=True)
    return [template.render(dict(zip(template.fields, row, strict=True))) for row in rows]
