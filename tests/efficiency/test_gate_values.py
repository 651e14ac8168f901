"""Gates as plain data, from real side networks."""

from __future__ import annotations

import math

import pytest
import torch

from iisan.efficiency.gate_values import gate_values
from iisan.efficiency.report import compare_outcomes
from iisan.efficiency.report.html_report import as_html
from iisan.models.config import ModalityConfig, SideNetworkConfig, Towers
from iisan.models.side_network import SideNetwork
from tests.made_up_measurements import measurement

# The image encoder has two layers more that are tapped, which the inter-modal tower does not see.
LAYERS = {"image": (0, 2, 4, 6), "text": (1, 3)}


def network(towers: Towers = "both", modalities: tuple[str, ...] = ("image", "text")) -> SideNetwork:
    sides = {name: ModalityConfig(n_taps=len(LAYERS[name]), width=8, bottleneck=4) for name in modalities}
    return SideNetwork(SideNetworkConfig(modalities=sides, towers=towers, inter_bottleneck=4, dim=4))


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_gates_of_each_tower_by_layer() -> None:
    made = network()
    with torch.no_grad():
        made.get_parameter("intra.image.gate.logits").copy_(torch.tensor([0.0, 0.1, -0.2, 0.05]))
        made.get_parameter("inter.gate.logits").copy_(torch.tensor([[0.1], [-0.1]]))
    found = gate_values(made, LAYERS)
    image = {"0": 0.5, "2": sigmoid(1), "4": sigmoid(-2), "6": sigmoid(0.5)}
    assert found["intra"] == {"image": pytest.approx(image), "text": {"1": 0.5, "3": 0.5}}
    # The softmax over [w, 0] at temperature 0.1, at the last two layers of each encoder.
    assert found["inter"] == {
        "image": pytest.approx({"4": sigmoid(1), "6": sigmoid(-1)}),
        "text": pytest.approx({"1": sigmoid(-1), "3": sigmoid(1)}),
    }


def test_towers_that_are_not_there_are_left_out() -> None:
    assert set(gate_values(network("intra"), LAYERS)) == {"intra"}
    assert set(gate_values(network("inter"), LAYERS)) == {"inter"}
    assert gate_values(network(modalities=("text",)), LAYERS) == {"intra": {"text": {"1": 0.5, "3": 0.5}}}


def test_layers_must_be_as_many_as_taps() -> None:
    with pytest.raises(ValueError, match="2 layers are named for 4 gates"):
        gate_values(network(), {"image": (0, 2), "text": (1, 3)})


def test_they_are_drawn_by_layer_and_modality() -> None:
    gates = gate_values(network(), LAYERS)
    html = as_html(compare_outcomes([measurement("iisan", seconds=(1.0,), trainable=1, memory=1, gates=gates)]))
    assert "Gates within a modality, iisan" in html
    assert "Gates across modalities, iisan" in html
    assert ">4/1</text>" in html
    assert ">6/3</text>" in html
