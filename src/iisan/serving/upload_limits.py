"""How much an upload may hold."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class UploadLimits(BaseModel):
    """Bounds on new items; sizes of texts are in characters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id_characters: int = Field(256, ge=24, description="Longest item id of a new item")
    title_characters: int = Field(500, ge=1, description="Longest title of a new item")
    text_characters: int = Field(20_000, ge=1, description="Longest text of a new item")
    attributes: int = Field(32, ge=0, description="Most attributes of a new item")
    attribute_characters: int = Field(500, ge=1, description="Longest name or value of an attribute")
    pictures: int = Field(4, ge=0, description="Most pictures of a new item")
    picture_bytes: int = Field(16 << 20, ge=1, description="Largest picture file, in bytes")
    picture_pixels: int = Field(
        25_000_000, ge=1, le=80_000_000, description="Most pixels (width times height) of a picture"
    )
    decode_seconds: int = Field(10, ge=1, description="Most processor seconds that decoding one picture may take")
    add_seconds: float = Field(60.0, gt=0, description="Longest time that adding one item may take")
    start_seconds: float = Field(300.0, gt=0, description="Longest time that loading the encoders may take")
    lock_seconds: float = Field(
        10.0, ge=0, description="How long to wait for another process that is adding items to the same model"
    )
    waiting: int = Field(64, ge=1, description="Most new items that wait for their turn")

    @property
    def item_bytes(self) -> int:
        """Most bytes of one item in all: what an HTTP body may hold, the form around it aside."""
        characters = self.id_characters + self.title_characters + self.text_characters * MOST_TEXTS
        characters += 2 * self.attributes * self.attribute_characters
        return self.pictures * self.picture_bytes + BYTES_A_CHARACTER * characters


# Text modalities of one item; models have one or two.
MOST_TEXTS = 16
# Of UTF-8, at most.
BYTES_A_CHARACTER = 4
