"""Which of some new items are added to a model, which replace what it knows, and which are left alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from iisan.data.few_ids import few
from iisan.errors import UserError
from iisan.jobs.new_items import NewItems
from iisan.models.item_table import UNKNOWN_HASH, ItemTable

OnExisting = Literal["error", "skip", "replace"]
OnEmpty = Literal["error", "skip"]

_Status = Literal["unchanged", "empty", "changed", "unknown"]


@dataclass(slots=True)
class AdditionPlan:
    """What happens to each of some new items.

    Attributes:
        chosen: Positions in the new items of those to embed, in their order.
        rows: Catalogue row of each of them; beyond the table's end for those that it lacks.
        added: How many of them the model does not know, or was told to take back.
        replaced: How many of them it knows with other content.
        unchanged: Items that it knows with the same content.
        skipped: Items that it knows with other content and that are left as they are.
        empty: Items without any content that are left out.
    """

    chosen: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    skipped: int = 0
    empty: int = 0


def plan_additions(
    new: NewItems, table: ItemTable, *, on_existing: OnExisting, on_empty: OnEmpty, where: str
) -> AdditionPlan:
    """Compares new items with an item table.

    Args:
        new: The items.
        table: What the model knows.
        on_existing: What to do with an id that is known with other content.
        on_empty: What to do with an item without any content.
        where: The table of the new items, for messages.

    Raises:
        UserError: There are items that ``error`` is the answer to.
    """
    plan = AdditionPlan()
    found: dict[_Status, list[int]] = {"unchanged": [], "empty": [], "changed": [], "unknown": []}
    for position in range(len(new.item_ids)):
        status = _status(new, position, table)
        found[status].append(position)
        if status == "unknown" or (status == "changed" and on_existing == "replace"):
            row = table.row(new.item_ids[position])
            plan.rows.append(len(table) + len(plan.rows) if row is None else row)
            plan.chosen.append(position)
    ids = {status: [new.item_ids[position] for position in positions] for status, positions in found.items()}
    if ids["changed"] and on_existing == "error":
        raise _changed(ids["changed"], list(new.hashes), where, table)
    if ids["empty"] and on_empty == "error":
        raise _empty(ids["empty"], new, where)
    plan.added, plan.unchanged, plan.empty = len(ids["unknown"]), len(ids["unchanged"]), len(ids["empty"])
    plan.replaced = len(ids["changed"]) if on_existing == "replace" else 0
    plan.skipped = len(ids["changed"]) - plan.replaced
    return plan


def _status(new: NewItems, position: int, table: ItemTable) -> _Status:
    row = table.row(new.item_ids[position])
    hashes = {name: values[position] for name, values in new.hashes.items()}
    known = row is not None and not bool(table.removed[row])
    if known and row is not None and _recorded(table, row, hashes) == hashes:
        return "unchanged"
    if not any(hashes.values()):
        return "empty"
    return "changed" if known else "unknown"


def _recorded(table: ItemTable, row: int, names: Iterable[str]) -> dict[str, str | None]:
    return {name: table.content_hash(name, row) for name in names}


def _empty(ids: Sequence[str], new: NewItems, where: str) -> UserError:
    read = [name for name in new.hashes if name not in new.by_states]
    stored = [name for name in new.hashes if name in new.by_states]
    lacks = [f"nothing in {' or '.join(read)}"] if read else []
    lacks += [f"no states of {' or '.join(stored)} in the stores"] if stored else []
    mend = (["give them content"] if read else []) + (["import their states"] if stored else [])
    return UserError(
        f"{len(ids)} items have {' and '.join(lacks)}, such as {few(ids)}",
        where=where,
        how=f"{' or '.join(mend)}, or leave them out with --on-empty skip",
    )


def _changed(ids: Sequence[str], names: Iterable[str], where: str, table: ItemTable) -> UserError:
    rows = [row for item_id in ids if (row := table.row(item_id)) is not None]
    unrecorded = any(UNKNOWN_HASH in _recorded(table, row, names).values() for row in rows)
    with_what = "and the model does not say with what content" if unrecorded else "with other content"
    return UserError(
        f"{len(ids)} items are in the model already {with_what}, such as {few(ids)}",
        where=where,
        how="replace them with --on-existing replace, or leave them as they are with --on-existing skip",
    )
