"""Options that say which columns of a table become what of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from iisan.data.importers.catalogue import CatalogueColumns, named_parts, named_templates
from iisan.data.importers.options import ImportOptions
from iisan.data.text_template import parse_template
from iisan.errors import UserError


class CatalogueOptions(ImportOptions):
    """Options of importers that take any table of items; :func:`catalogue_columns` reads them."""

    item_id_column: str = Field("item_id", description="Column of the item id in the items table.")
    text: str | None = Field(
        None,
        description="Column, or template such as '{title}. {genres}', of the modality 'text'; "
        "by default the column 'title' if there is one; empty: no text.",
    )
    extra_texts: tuple[str, ...] = Field((), description="Further text modalities, each NAME=COLUMN or NAME=TEMPLATE.")
    title_column: str | None = Field(
        None, description="Column shown to people as title; by default 'title' if there is one; empty: none."
    )
    image_column: str | None = Field(
        None,
        description="Column of the picture: its path relative to media_root, or in Parquet its bytes; "
        "makes the modality 'image'.",
    )
    extra_images: tuple[str, ...] = Field((), description="Further image modalities, each NAME=COLUMN.")
    attributes: tuple[str, ...] = Field((), description="Further columns of the items to keep, as text.")
    unescape_html: bool = Field(False, description="Turn HTML entities such as &amp; in texts into characters.")


def catalogue_columns(
    config: CatalogueOptions, available: Sequence[str], text_fallbacks: Sequence[str] = ("title",)
) -> CatalogueColumns:
    """Which columns become what, by the options and the columns that there are.

    Args:
        config: The options.
        available: Columns of the items table.
        text_fallbacks: Columns that are the text where no option names one: the first that is there.

    Raises:
        UserError: Two modalities share a name, a template is malformed, or there is no modality.
    """
    fallback = next((name for name in text_fallbacks if name in available), "")
    text = fallback if config.text is None else config.text
    title = ("title" if "title" in available else "") if config.title_column is None else config.title_column
    texts = {"text": parse_template(text)} if text else {}
    images = {"image": config.image_column} if config.image_column else {}
    more_texts, more_images = named_templates(config.extra_texts), named_parts(config.extra_images)
    twice = (texts.keys() & more_texts.keys()) | (images.keys() & more_images.keys())
    if twice:
        raise UserError(f"two modalities are named {min(twice)!r}", how="name the further ones differently")
    if not (texts or more_texts or images or more_images):
        raise UserError("the items have neither text nor pictures", how="name a column with text or image_column")
    return CatalogueColumns(
        item_id=config.item_id_column,
        title=title or None,
        texts={**texts, **more_texts},
        images={**images, **more_images},
        attributes=config.attributes,
        unescape_html=config.unescape_html,
    )
