"""Which columns of an items table became what at import, so that items that come later are read the same way."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from iisan.data.importers.catalogue import named_parts
from iisan.data.manifest import DatasetManifest, DatasetSource


class ItemColumns(BaseModel):
    """Columns of an items table, as plain data that travels with a model.

    Attributes:
        item_id: Column of the id.
        title: Column of the display title, or None.
        texts: Column or template of each text modality.
        images: Column of each image modality.
        unescape_html: Whether HTML entities in texts became characters.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    item_id: str = "item_id"
    title: str | None = "title"
    texts: dict[str, str] = {}
    images: dict[str, str] = {}
    unescape_html: bool = False


def imported_columns(manifest: DatasetManifest) -> ItemColumns:
    """What the manifest of a dataset says about its import.

    A modality whose column the importer's options do not name is left out.
    """
    options = manifest.source.options
    texts = {**_named(options, "text", "text"), **_further(options, "extra_texts")}
    if "text" not in texts and _reads_title(manifest.source):
        texts["text"] = _title(options) or "title"
    images = {**_named(options, "image_column", "image"), **_further(options, "extra_images")}
    return ItemColumns(
        item_id=str(options.get("item_id_column") or "item_id"),
        title=_title(options),
        texts={name: value for name, value in texts.items() if manifest.modalities.get(name) == "text"},
        images={name: value for name, value in images.items() if manifest.modalities.get(name) == "image"},
        unescape_html=bool(options.get("unescape_html", False)),
    )


def _reads_title(source: DatasetSource) -> bool:
    """Whether the importer makes the modality ``text`` of the title unless told otherwise."""
    return source.importer in {"delimited", "iisan"} and source.options.get("text") is None


def _title(options: dict[str, Any]) -> str | None:
    column = options.get("title_column")
    return "title" if column is None else str(column) or None


def _named(options: dict[str, Any], option: str, modality: str) -> dict[str, str]:
    value = options.get(option)
    return {modality: value} if isinstance(value, str) and value else {}


def _further(options: dict[str, Any], option: str) -> dict[str, str]:
    values = options.get(option)
    return named_parts(values) if isinstance(values, list | tuple) else {}
