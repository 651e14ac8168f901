"""A new item as a form: fields and pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import FormData, UploadFile

from iisan.serving.adder_errors import UploadRefused
from iisan.serving.new_item import NewItem, OnKnown
from iisan.serving.upload_limits import UploadLimits

MOST_FILES = 8
MOST_FIELDS = 64
PLAIN = ("item_id", "title", "attributes", "on_existing")
KINDS = {"text": "text", "picture": "image"}

FORM: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["title"],
                "additionalProperties": False,
                "properties": {
                    "item_id": {"type": "string", "minLength": 1, "description": "Its id; one is given by default"},
                    "title": {"type": "string", "minLength": 1, "description": "What is shown", "example": "Red lamp"},
                    "text": {
                        "type": "string",
                        "description": "Its text, made of title and attributes by default. Where the model reads "
                        "several text modalities, name them: text.NAME",
                    },
                    "picture": {
                        "type": "string",
                        "format": "binary",
                        "description": "A picture file (JPEG, PNG, WebP, GIF, BMP or TIFF). Where the model reads "
                        "several image modalities, name them: picture.NAME",
                    },
                    "attributes": {
                        "type": "string",
                        "description": "A JSON object of texts",
                        "example": '{"color": "red"}',
                    },
                    "on_existing": {
                        "type": "string",
                        "enum": ["error", "replace"],
                        "default": "error",
                        "description": "What to do with an id that is known with other content",
                    },
                },
            },
            "encoding": {"picture": {"contentType": "image/jpeg, image/png, image/webp"}},
        }
    },
}


async def new_item_of(form: FormData, modalities: Mapping[str, str], limits: UploadLimits) -> NewItem:
    """The item that a form describes.

    Args:
        form: As it came.
        modalities: Kind of each modality that the model reads.
        limits: Pictures that are larger are not read.

    Raises:
        UploadRefused: A field is unknown, missing, twice there, or of the wrong kind.
    """
    fields: dict[str, str] = {}
    files: dict[str, UploadFile] = {}
    for name, value in form.multi_items():
        if name in fields or name in files:
            raise UploadRefused(f"the field {name!r} is there twice", how="send it once")
        if isinstance(value, UploadFile):
            files[name] = value
        else:
            fields[name] = value
    _check_names(fields, files)
    if "title" not in fields:
        raise UploadRefused("the field 'title' is missing", how="send a title")
    texts = {_modality(name, modalities): value for name, value in fields.items() if name not in PLAIN}
    # A browser sends a field in which no file was chosen as an empty file without a name.
    chosen = {name: file for name, file in files.items() if file.filename or file.size}
    pictures = {_modality(name, modalities): await _read(file, limits) for name, file in chosen.items()}
    return NewItem(
        item_id=fields.get("item_id") or None,
        title=fields["title"],
        texts=texts,
        pictures=pictures,
        attributes=_attributes(fields.get("attributes", "")),
        on_existing=_on_existing(fields.get("on_existing", "error")),
    )


def _check_names(fields: Mapping[str, str], files: Mapping[str, UploadFile]) -> None:
    for name in fields:
        if name not in PLAIN and name.partition(".")[0] != "text":
            how = "send it as a file" if name.partition(".")[0] == "picture" else "see /openapi.json for the fields"
            raise UploadRefused(f"no text field is named {name[:40]!r}", how=how)
    for name in files:
        if name.partition(".")[0] != "picture":
            raise UploadRefused(f"no file field is named {name[:40]!r}", how="name the file's field picture")


def _modality(field: str, modalities: Mapping[str, str]) -> str:
    """The modality that a field is for: the one it names, else the only one of its kind."""
    kind, _, named = field.partition(".")
    if named:
        return named
    of_kind = [name for name, its_kind in modalities.items() if its_kind == KINDS[kind]]
    if len(of_kind) > 1 and KINDS[kind] not in of_kind:
        there = ", ".join(f"{kind}.{name}" for name in of_kind)
        raise UploadRefused(f"the model reads several modalities of the kind {KINDS[kind]}", how=f"name one of {there}")
    return of_kind[0] if len(of_kind) == 1 else KINDS[kind]


async def _read(file: UploadFile, limits: UploadLimits) -> bytes:
    # One byte more than is allowed: enough to tell that it is too large.
    return await file.read(limits.picture_bytes + 1)


def _attributes(text: str) -> dict[str, str]:
    if not text.strip():
        return {}
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict) or not all(isinstance(value, str) for value in read.values()):
        raise UploadRefused("the attributes are no JSON object of texts", how='send for example {"color": "red"}')
    return read


def _on_existing(text: str) -> OnKnown:
    if text == "replace":
        return "replace"
    if text == "error":
        return "error"
    raise UploadRefused("on_existing is neither error nor replace", how="send one of them")
