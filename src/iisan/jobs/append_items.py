"""Embedding new items with a trained model and appending them to its journal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from iisan.data.media import Progress
from iisan.errors import UserError
from iisan.jobs.addition_plan import AdditionPlan
from iisan.jobs.new_items import NewItems
from iisan.models.added_facts import AddedFacts
from iisan.models.added_items import AddedItems
from iisan.models.additions import Additions
from iisan.models.recommender import Recommender
from iisan.states.sources import StateSource

# Items committed at once: what a kill can cost.
ITEMS_AT_ONCE = 1024


def embed_new(recommender: Recommender, source: StateSource, rows: Tensor, catalogue_rows: Tensor) -> Tensor:
    """Embeddings of items as they come after training, ``[n, d]`` fp32 on the CPU.

    Args:
        recommender: The model.
        source: Hidden states.
        rows: ``[n]`` rows of the source.
        catalogue_rows: ``[n]`` rows of the item table; beyond its end for items that it lacks.
    """
    return recommender.embed_items(source, rows, catalogue_rows=catalogue_rows).cpu()


def append_items(
    journal: Additions,
    recommender: Recommender,
    source: StateSource,
    new: NewItems,
    plan: AdditionPlan,
    progress: Progress | None = None,
    facts_of: Callable[[Sequence[int]], Mapping[int, AddedFacts]] | None = None,
) -> None:
    """Embeds and commits the chosen items, part by part.

    Args:
        journal: Of the model folder.
        recommender: The model.
        source: Hidden states of the chosen items, in their order.
        new: The items.
        plan: Which of them are chosen, and their catalogue rows.
        progress: Called as ``(done, total, label)``.
        facts_of: Called with some positions in `new` before their items are committed, to keep what belongs to them;
            gives what else is known of them, by position.

    Raises:
        UserError: An embedding is not finite, another process is adding, or the folder cannot be written. What was
            committed before stays.
    """
    table, rows, positions = recommender.table, torch.tensor(plan.rows), torch.arange(len(plan.rows))
    for start in range(0, len(rows), ITEMS_AT_ONCE):
        part = slice(start, start + ITEMS_AT_ONCE)
        embeddings = embed_new(recommender, source, positions[part], rows[part])
        chosen = plan.chosen[part]
        ids = [new.item_ids[position] for position in chosen]
        broken = (~embeddings.isfinite().all(dim=1)).nonzero().flatten().tolist()
        if broken:
            raise UserError(
                f"the embedding of item {ids[broken[0]]!r} is not finite", how="check its content; it was not added"
            )
        known = [table.titles[row] if row < len(table) else None for row in plan.rows[part]]
        titles = [new.titles[position] or before for position, before in zip(chosen, known, strict=True)]
        hashes = {name: [values[position] for position in chosen] for name, values in new.hashes.items()}
        # First the pictures, then the entry that names them: a kill in between leaves files that nothing names.
        facts = {} if facts_of is None else facts_of(chosen)
        its_facts = {at: facts[position] for at, position in enumerate(chosen) if position in facts}
        journal.append(AddedItems.new(ids, titles, embeddings, hashes, its_facts))
        if progress is not None:
            progress(min(start + ITEMS_AT_ONCE, len(rows)), len(rows), "add")
