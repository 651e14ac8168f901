"""The manifest of a dataset folder: what is in it, where it came from, and the checksums that prove it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from iisan.data.modality_names import check_modality_names
from iisan.errors import UserError

FORMAT: Literal["iisan-dataset"] = "iisan-dataset"
VERSION = 1
MANIFEST_FILE = "dataset.json"
ITEMS_FILE = "items.parquet"
USERS_FILE = "users.parquet"
INTERACTIONS_FILE = "interactions.parquet"
MEDIA_FILE = "media.parquet"
MEDIA_FOLDER = "media"
TABLE_FILES = (ITEMS_FILE, USERS_FILE, INTERACTIONS_FILE, MEDIA_FILE)
RESERVED_COLUMNS = ("item_id", "title")
MAX_MANIFEST_BYTES = 16 << 20

ModalityKind = Literal["text", "image"]


class DatasetCounts(BaseModel):
    """How much a dataset holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    items: int = Field(ge=0, description="Items of the catalogue.")
    users: int = Field(ge=0, description="Users with at least one interaction.")
    interactions: int = Field(ge=0, description="Rows of the log.")
    present: dict[str, int] = Field(description="Items that have the modality, by modality.")


class DatasetSource(BaseModel):
    """Where a dataset came from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    importer: str = Field(description="Name of the importer, or 'library' for data handed over in memory.")
    options: dict[str, Any] = Field(default_factory=dict, description="The importer's options as it ran.")
    dropped: dict[str, int] = Field(default_factory=dict, description="What the import left out, counted by reason.")
    observed: dict[str, int] = Field(
        default_factory=dict, description="What the import saw and the dataset no longer shows, counted by name."
    )


class DatasetManifest(BaseModel):
    """Content of ``dataset.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["iisan-dataset"] = FORMAT
    version: int = VERSION
    name: str = Field(description="Display name.")
    counts: DatasetCounts
    modalities: dict[str, ModalityKind] = Field(description="Modality name to its kind, in column order.")
    attributes: list[str] = Field(default_factory=list, description="Further item columns, kept as text.")
    source: DatasetSource
    sha256: dict[str, str] = Field(description="Checksum of each Parquet file; media.parquet lists those of the media.")


def read_manifest(folder: Path) -> DatasetManifest:
    """Read and check ``dataset.json`` of a dataset folder.

    Raises:
        UserError: The folder is no dataset, its manifest is damaged, or a newer version of the program wrote it.
    """
    path = folder / MANIFEST_FILE
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise UserError("the manifest is too large to be one", where=str(path), how="import the data again")
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"not a dataset folder: it has no {MANIFEST_FILE}", where=str(folder), how="make one with `iisan import`"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"the manifest cannot be read ({error})", where=str(path), how="import the data again"
        ) from error
    return parse_manifest(raw, where=str(path))


def parse_manifest(raw: object, where: str) -> DatasetManifest:
    """Check the decoded content of a manifest.

    Raises:
        UserError: It is not a manifest of this format, or of a newer version.
    """
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise UserError(f"not a manifest of format '{FORMAT}'", where=where, how="import the data again")
    version = raw.get("version")
    if isinstance(version, int) and version > VERSION:
        raise UserError(
            f"dataset format version {version} is newer than {VERSION}, the newest this program reads",
            where=where,
            how="update iisan, or import the data again",
        )
    try:
        manifest = DatasetManifest.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UserError(
            f"the manifest is damaged: {field}: {first['msg']}", where=where, how="import the data again"
        ) from error
    check_modality_names(manifest.modalities, where)
    return manifest
