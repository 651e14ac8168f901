"""Why a request cannot be served: each reason is one class, so that the HTTP layer can tell them apart."""

from __future__ import annotations

from collections.abc import Sequence

from iisan.data.few_ids import few
from iisan.errors import UserError


class UnknownItems(UserError):  # noqa: N818 - a refusal, named for its reason
    """A request names items that the catalogue lacks.

    Attributes:
        item_ids: Their ids.
    """

    def __init__(self, item_ids: Sequence[str]) -> None:
        self.item_ids = list(item_ids)
        count = len(self.item_ids)
        what = f"item {self.item_ids[0]!r} is" if count == 1 else f"{count} items, such as {few(self.item_ids)}, are"
        super().__init__(f"{what} not in the catalogue", how="check the id, or leave it out")


class Overloaded(UserError):  # noqa: N818 - a refusal, named for its reason
    """More requests are waiting than the service holds; the same request may be served a moment later."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} requests are waiting already", how="ask again in a moment")


class NotPossible(UserError):  # noqa: N818 - a refusal, named for its reason
    """What is asked for can never be done with this model as it is served, such as leaving out a modality."""


class StillComputing(UserError):  # noqa: N818 - a refusal, named for its reason
    """What is asked for is being computed in the background; the same request will be served later."""
