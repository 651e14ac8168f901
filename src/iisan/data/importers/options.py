"""Options that every importer has."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from iisan.data.importers.log import UnknownItems
from iisan.data.media import MediaPolicy
from iisan.data.pictures import PictureCheck


class ImportOptions(BaseModel):
    """Options shared by the importers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str | None = Field(None, description="Display name of the dataset; by default the name of its folder.")
    unknown_items: UnknownItems = Field(
        "error", description="Interactions with items that the catalogue lacks: stop with an error, or drop and count."
    )
    on_bad_media: Literal["error", "skip"] = Field(
        "error", description="A picture that is missing, unsafe, too large or damaged: stop, or skip and count."
    )
    check_media: PictureCheck = Field(
        "header", description="Check pictures by their header, or decode them in full, which finds truncated files."
    )
    media_transfer: Literal["copy", "hardlink"] = Field(
        "copy", description="Copy pictures, or hard-link them, which saves space but shares later changes."
    )
    max_pixels: int = Field(64_000_000, gt=0, description="Most pixels (width times height) of a picture.")
    max_media_bytes: int = Field(64 << 20, gt=0, description="Largest picture file, in bytes.")
    overwrite: bool = Field(False, description="Replace a dataset that is at the output already.")

    def recorded(self) -> dict[str, Any]:
        """The options as a dataset's manifest keeps them."""
        return self.model_dump(mode="json", exclude={"overwrite"})

    def media_policy(self) -> MediaPolicy:
        """The part of the options that is about media."""
        return MediaPolicy(
            on_bad=self.on_bad_media,
            check=self.check_media,
            transfer=self.media_transfer,
            max_pixels=self.max_pixels,
            max_bytes=self.max_media_bytes,
        )
