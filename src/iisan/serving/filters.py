"""Which items a request lets in."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from iisan.models.item_table import ItemTable
from iisan.serving.item_facts import ItemFacts

# A request is a few kilobytes: more ids than this belong into an attribute.
MOST_IDS = 10_000
MOST_VALUES = 1_000

Mask = npt.NDArray[np.bool_]
Value = Annotated[str, Field(max_length=1000)]


class Filters(BaseModel):
    """Which items may be offered; all conditions must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    include: list[Value] | None = Field(
        None, max_length=MOST_IDS, description="Offer only items with these ids; an id that is not known offers nothing"
    )
    exclude: list[Value] = Field([], max_length=MOST_IDS, description="Do not offer items with these ids")
    attributes: dict[Value, Annotated[list[Value], Field(max_length=MOST_VALUES)]] = Field(
        {}, max_length=32, description="For each attribute named, offer only items that have one of these values"
    )

    @property
    def empty(self) -> bool:
        """Whether every item passes."""
        return self.include is None and not self.exclude and not self.attributes

    def passing(self, table: ItemTable, facts: ItemFacts) -> Mask:
        """Which items pass, ``[N]`` bool.

        Raises:
            UserError: An attribute that the catalogue does not have.
        """
        passing = np.ones(len(table), dtype=bool)
        if self.include is not None:
            passing[:] = False
            passing[_rows(table, self.include)] = True
        for name, values in self.attributes.items():
            passing &= facts.having(name, values)
        passing[_rows(table, self.exclude)] = False
        return passing


def _rows(table: ItemTable, item_ids: list[str]) -> list[int]:
    return [row for item_id in item_ids if (row := table.row(item_id)) is not None]
