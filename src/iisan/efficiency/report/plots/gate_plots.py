"""What the gates of side networks say, by layer and modality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from iisan.efficiency.gate_values import LayerValues
from iisan.efficiency.report.comparison import ComparedMethod, Comparison
from iisan.efficiency.report.plain_table import Column, PlainTable
from iisan.efficiency.report.plots.inline_svg import inline_svg
from iisan.efficiency.report.plots.labels import Labelled, label_ends
from iisan.efficiency.report.plots.palette import PAPER, PARTS, stand_in
from iisan.efficiency.report.plots.plot import Plot
from iisan.efficiency.report.plots.sheet import new_sheet
from iisan.efficiency.report.plots.stacked_bars import bars_height, stack_bars

_HEIGHT = 2.6
_MARKERS = ("o", "s", "^", "D", "v")


def gate_plots(comparison: Comparison) -> list[Plot]:
    """For each method with gates: those of the modalities' own towers, and the shares of the modalities."""
    plots: list[Plot] = []
    for place, method in enumerate(comparison.methods):
        gates: Mapping[str, Mapping[str, LayerValues]] = method.measurement.gates
        if gates.get("intra"):
            plots.append(_intra(method, gates["intra"], f"gates-{place}"))
        if gates.get("inter"):
            plots.append(_inter(method, gates["inter"], f"shares-{place}"))
    return plots


def _intra(method: ComparedMethod, towers: Mapping[str, LayerValues], prefix: str) -> Plot:
    figure, axes = new_sheet(_HEIGHT)
    ends = []
    roles = _roles(towers)
    for place, (modality, values) in enumerate(towers.items()):
        layers = [int(layer) for layer in values]
        gates = list(values.values())
        axes.plot(
            layers,
            gates,
            color=stand_in(roles[place]),
            marker=_MARKERS[place % len(_MARKERS)],
            markersize=5,
            markeredgecolor=stand_in(PAPER),
            markeredgewidth=0.6,
            linewidth=1.4,
        )
        ends.append(Labelled(layers[-1], gates[-1], modality, roles[place]))
    axes.set_xticks(sorted({int(layer) for values in towers.values() for layer in values}))
    axes.set_ylim(0, 1)
    axes.set_xlabel("layer of the encoder")
    axes.set_ylabel("gate")
    label_ends(figure, axes, ends)
    title = f"Gates within a modality, {method.name}"
    caption = "How much of each layer's hidden state the modality's own tower takes in; the rest is the block before."
    return Plot(title, caption, inline_svg(figure, title, prefix), _table("Gates", towers))


def _inter(method: ComparedMethod, shares: Mapping[str, LayerValues], prefix: str) -> Plot:
    layers = [list(values) for values in shares.values()]
    # Encoders of unequal depth line up at their last layers, so a block may have a layer of each.
    names = ["/".join(dict.fromkeys(block)) for block in zip(*layers, strict=True)]
    figure, axes = new_sheet(bars_height(len(names)))
    parts = {modality: [100 * share for share in values.values()] for modality, values in shares.items()}
    stack_bars(figure, axes, names, dict(parts), _roles(shares))
    axes.set_xlim(0, 100)
    axes.set_xlabel("share, %")
    axes.set_ylabel("layer")
    title = f"Gates across modalities, {method.name}"
    caption = "The share of each modality in the blocks that see all of them."
    return Plot(title, caption, inline_svg(figure, title, prefix), _table("Shares", shares))


def _roles(modalities: Mapping[str, LayerValues]) -> Sequence[str]:
    return [PARTS[place % len(PARTS)] for place in range(len(modalities))]


def _table(title: str, towers: Mapping[str, LayerValues]) -> PlainTable:
    columns = (Column("modality", numeric=False), Column("layer"), Column("value"))
    rows = tuple(
        (modality, layer, f"{value:.3f}") for modality, values in towers.items() for layer, value in values.items()
    )
    return PlainTable(title, columns, rows)
