"""What a trained side network's gates say, by tower and layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from iisan.models.gate import LayerGate
from iisan.models.side_network import INTER, SideNetwork

LayerValues = dict[str, float]


@torch.no_grad()
def gate_values(network: SideNetwork, layers: Mapping[str, Sequence[int]]) -> dict[str, dict[str, LayerValues]]:
    """The gates of a side network as plain data, for :attr:`iisan.efficiency.measurement.Measurement.gates`.

    Args:
        network: The side network.
        layers: For each modality the numbers of its tapped layers, in tap order.

    Returns:
        ``{"intra": {modality: {layer: g}}, "inter": {modality: {layer: share}}}``, layers as decimal text in tap order:
        how much of each layer's hidden state a modality's own tower takes in (the rest comes from the block before),
        and the share of each modality in the blocks of the inter-modal tower. A part that the network lacks is left
        out.

    Raises:
        ValueError: A modality's layers are not as many as its taps.
    """
    found: dict[str, dict[str, LayerValues]] = {}
    intra = {name: _by_layer(layers[name], _values(tower.gate)) for name, tower in network.intra.items()}
    if intra:
        found["intra"] = intra
    if network.inter is not None:
        shares = network.inter.gate().T.tolist()  # [M][blocks]
        last = network.inter.n_blocks
        found[INTER] = {
            name: _by_layer(layers[name][-last:], row) for name, row in zip(network.names, shares, strict=True)
        }
    return found


def _values(gate: object) -> list[float]:
    if not isinstance(gate, LayerGate):
        raise TypeError(f"{type(gate).__name__} is no gate")
    return [float(value) for value in gate()]


def _by_layer(layers: Sequence[int], values: Sequence[float]) -> LayerValues:
    if len(layers) != len(values):
        raise ValueError(f"{len(layers)} layers are named for {len(values)} gates")
    return {str(layer): value for layer, value in zip(layers, values, strict=True)}
