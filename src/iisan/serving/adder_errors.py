"""Why an item was not added or not removed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from iisan.errors import UserError
from iisan.serving.refusals import UnknownItems

# Named for what became of the item; the HTTP layer makes a problem of each.


class UploadRefused(UserError):  # noqa: N818
    """The item itself is at fault (HTTP 422, or 413 where it is too large).

    Attributes:
        too_large: Whether it exceeds a bound on sizes or counts.
    """

    def __init__(self, what: str, *, where: str = "", how: str = "", too_large: bool = False) -> None:
        super().__init__(what, where=where, how=how)
        self.too_large = too_large


class ItemExists(UserError):  # noqa: N818
    """The id is known with other content (HTTP 409)."""


class CannotAdd(UserError):  # noqa: N818
    """This model takes no new items, or its folder cannot be written (HTTP 409)."""


class AdderBusy(UserError):  # noqa: N818
    """Too many are waiting, another process holds the journal, or the encoders are not loaded yet (HTTP 503)."""


class AdderFailed(UserError):  # noqa: N818
    """The process that adds items ended or took too long (HTTP 503).

    Whether the item is there is not known; sending the request again is safe, and tells.
    """


_KINDS: dict[str, type[UserError]] = {kind.__name__: kind for kind in (ItemExists, CannotAdd, AdderBusy, AdderFailed)}


def as_data(error: UserError) -> dict[str, Any]:
    """An error as plain data, which another process makes the same error of by :func:`of_data`."""
    if isinstance(error, UnknownItems):
        return {"kind": "UnknownItems", "item_ids": error.item_ids}
    data = {"kind": type(error).__name__, "what": error.what, "where": error.where, "how": error.how}
    return {**data, "too_large": error.too_large} if isinstance(error, UploadRefused) else data


def of_data(data: Mapping[str, Any]) -> UserError:
    """The error that :func:`as_data` wrote down."""
    if data["kind"] == "UnknownItems":
        return UnknownItems(data["item_ids"])
    text = {"where": str(data["where"]), "how": str(data["how"])}
    if data["kind"] == "UploadRefused":
        return UploadRefused(str(data["what"]), **text, too_large=bool(data["too_large"]))
    return _KINDS.get(data["kind"], AdderFailed)(str(data["what"]), **text)
