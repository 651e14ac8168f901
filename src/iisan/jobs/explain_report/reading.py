"""Words that every form of an explanation shares."""

from __future__ import annotations

from iisan.efficiency.gate_values import LayerValues
from iisan.jobs.explain import ExplainOutcome
from iisan.models.explanation.explanation import ExplainedItem, Influence

GATE_TITLES = {
    "intra": "How much of each layer a modality's own tower takes in",
    "inter": "Share of each modality in the blocks that see all of them",
}
GATE_DIGITS = 2


def reading(outcome: ExplainOutcome) -> list[str]:
    """How to read the numbers that an explanation has, a line each."""
    found = outcome.explanation
    lines = [
        "Scores are inner products; they compare items after one history and nothing else.",
        f"A place is counted among the {found.n_candidates:,} items that may be offered after this history.",
    ]
    if any(item.of_item is not None for item in found.items):
        lines += [
            "What the item is: its parts are left out of it, and the history is read as it is. Alone: what a part adds "
            "to an item that has nothing else. Interplay: what the parts add together beyond that, negative where they "
            "say the same thing. With the score of an item that has nothing they sum to the score; shares are of their "
            "sizes without signs.",
            "Fair share: the mean, over all orders of adding the parts, of what a part adds (Shapley value).",
            "Left out: the change of the score without that part alone; everywhere: without it in the item and in all "
            "of the history. An item may keep its place without its picture because its text says the same.",
        ]
    kinds = {part.kind for item in found.items if item.of_item for part in item.of_item.parts}
    if "own" in kinds:
        lines.append("Own vector: what the model learned about this one item from what people did with it.")
    if any(one.drop is not None for item in found.items for one in item.history):
        lines.append(
            "What came before: by how much the score falls when one item is taken out of the history and those before "
            "it move up. These numbers need not sum to anything."
        )
    return lines


def strongest_first(item: ExplainedItem) -> list[Influence]:
    """The items of the history, that which changes the score most first."""
    return sorted(item.history, key=lambda one: -abs(one.drop or 0.0))


def everywhere_without(item: ExplainedItem) -> list[float | None]:
    """For each part the score without it in the item and in the history, where it is known."""
    if item.everywhere is not None:
        return [part.without for part in item.everywhere.parts]
    return [None] * (0 if item.of_item is None else len(item.of_item.parts))


def gate_lines(values: dict[str, LayerValues]) -> list[list[str]]:
    """Gates of the modalities' towers, or shares of the modalities: a heading, then a line a modality.

    Encoders of unequal depth line up at their last layers, so that a column may have a layer of each.
    """
    depth = max(len(layers) for layers in values.values())
    padded = [[""] * (depth - len(layers)) + list(layers) for layers in values.values()]
    heading = ["/".join(dict.fromkeys(filter(None, column))) for column in zip(*padded, strict=True)]
    lines = [
        [name, *[""] * (depth - len(layers)), *(f"{value:.{GATE_DIGITS}f}" for value in layers.values())]
        for name, layers in values.items()
    ]
    return [["layer", *heading], *lines]
