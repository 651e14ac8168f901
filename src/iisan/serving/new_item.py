"""An item that somebody wants to add, and what became of it."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from iisan.data.checksum import sha256_of_text
from iisan.serving.adder_errors import UploadRefused
from iisan.serving.upload_limits import MOST_TEXTS, UploadLimits

OnKnown = Literal["error", "replace"]
AddedAs = Literal["added", "replaced", "unchanged"]

# What ids begin with that the program gives.
GIVEN = "new-"
_DIGITS_OF_GIVEN = 20
_MODALITY_CHARACTERS = 64


@dataclass(frozen=True)
class NewItem:
    """A new item as it was uploaded.

    Attributes:
        item_id: Its id; None to be given one, which follows from the content: the same item gets the same id again.
        title: What is shown to people.
        texts: Text by modality; where a text modality is not named, its text is made as at the import of the catalogue,
            from the title and the attributes.
        pictures: Bytes of a picture file by modality. A model that reads no pictures takes one all the same, to show.
        attributes: Further facts, such as ``{"genre": "jazz"}``.
        on_existing: What to do with an id that is known with other content.
    """

    item_id: str | None
    title: str
    texts: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    on_existing: OnKnown = "error"


@dataclass(frozen=True)
class Added:
    """What became of a new item; it is on the disk.

    Attributes:
        item_id: Its id.
        outcome: ``unchanged`` where the model had just this item already, as when a request is sent again.
        addition: Number of the journal's last addition; a reader that has seen it knows the item.
    """

    item_id: str
    outcome: AddedAs
    addition: int


def checked(item: NewItem, limits: UploadLimits) -> NewItem:
    """The same item with an id, after a look at all sizes and names that needs no decoding.

    Raises:
        UploadRefused: Something is too long, too large, or no text.
    """
    _require_text("title", item.title, limits.title_characters)
    if not item.title.strip():
        raise UploadRefused("the title is blank", how="give the item a title")
    _require_count("texts", len(item.texts), MOST_TEXTS)
    _require_count("pictures", len(item.pictures), limits.pictures)
    _require_count("attributes", len(item.attributes), limits.attributes)
    for name, text in item.texts.items():
        _require_text("name of a text", name, _MODALITY_CHARACTERS)
        _require_text(f"text {name!r}", text, limits.text_characters)
    for name, value in item.attributes.items():
        _require_text("name of an attribute", name, limits.attribute_characters)
        _require_text(f"attribute {name!r}", value, limits.attribute_characters)
    for name, content in item.pictures.items():
        _require_text("name of a picture", name, _MODALITY_CHARACTERS)
        _require_bytes(name, content, limits.picture_bytes)
    item_id = _given_id(item) if item.item_id is None else item.item_id
    _require_text("id", item_id, limits.id_characters)
    if not item_id or item_id != item_id.strip() or any(unicodedata.category(one) == "Cc" for one in item_id):
        raise UploadRefused(
            "the id is blank, begins or ends with a space, or holds a control character",
            how="choose another id, or give none",
        )
    return replace(item, item_id=item_id)


def _given_id(item: NewItem) -> str:
    pictures = {name: hashlib.sha256(content).hexdigest() for name, content in item.pictures.items()}
    whole = [item.title, dict(item.texts), pictures, dict(item.attributes)]
    return GIVEN + sha256_of_text(json.dumps(whole, sort_keys=True))[:_DIGITS_OF_GIVEN]


def _require_text(what: str, text: str, most: int) -> None:
    if len(text) > most:
        raise UploadRefused(
            f"the {what} has {len(text):,} characters, more than {most:,}", how="make it shorter", too_large=True
        )
    # Halves of surrogate pairs are no text that a file could hold, and a NUL ends a text in too many programs.
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise UploadRefused(f"the {what} holds a character that is none", how="send it as UTF-8 without NUL")


def _require_count(what: str, count: int, most: int) -> None:
    if count > most:
        raise UploadRefused(f"there are {count} {what}, more than {most}", how="send fewer", too_large=True)


def _require_bytes(name: str, content: bytes, most: int) -> None:
    if not content:
        raise UploadRefused(f"the picture {name!r} is empty", how="send a picture file, or none")
    if len(content) > most:
        raise UploadRefused(
            f"the picture {name!r} has {len(content):,} bytes, more than {most:,}",
            how="make it smaller",
            too_large=True,
        )
