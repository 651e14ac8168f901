"""The side network against the paper's formulas, written out item by item, and what holds beyond two modalities."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from iisan.models.config import ModalityConfig, SideNetworkConfig, Towers
from iisan.models.side_network import SideNetwork
from iisan.states.sources import ItemStates
from tests.random_source import RandomSource


def network(shapes: dict[str, tuple[int, int]], towers: Towers = "both", **options: object) -> SideNetwork:
    torch.manual_seed(0)
    modalities = {
        name: ModalityConfig(n_taps=taps, width=width, bottleneck=3, head_width=width)
        for name, (taps, width) in shapes.items()
    }
    config = SideNetworkConfig(modalities=modalities, towers=towers, inter_bottleneck=3, inter_head_width=5, dim=4)
    config = config.model_copy(update=options)
    made = SideNetwork(config)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    return made.eval()


def slow_sanb(block: nn.Module, x: Tensor, activation: str = "relu") -> Tensor:
    inner = block.down.weight @ x + block.down.bias
    if activation == "relu":
        inner = torch.where(inner > 0, inner, torch.zeros_like(inner))
    else:
        inner = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
    return x + block.up.weight @ inner + block.up.bias


def slow_head(head: nn.Module, x: Tensor) -> Tensor:
    for layer in head.layers:
        x = layer.weight @ x + layer.bias
    return x


def slow_item(net: SideNetwork, taps: dict[str, list[Tensor]], activation: str = "relu") -> Tensor:
    """One item's embedding by contract points 2 to 7; `taps` holds the modalities that the item has."""
    dim = net.fusion.out_features
    parts = []
    for name in net.names:
        if name not in taps:
            parts.append(torch.zeros(dim))
            continue
        tower = net.intra[name]
        hidden = torch.zeros_like(taps[name][0])
        for k, tap in enumerate(taps[name]):
            gate = 1 / (1 + torch.exp(-tower.gate.logits[k] / 0.1))
            hidden = slow_sanb(tower.blocks[k], gate * tap + (1 - gate) * hidden, activation)
        parts.append(slow_head(net.heads[name], hidden))
    inter = net.inter
    hidden = torch.zeros(inter.width)
    for k in range(inter.n_blocks):
        logits = {
            name: (inter.gate.logits[k][i] / 0.1 if i + 1 < len(net.names) else torch.tensor(0.0))
            for i, name in enumerate(net.names)
            if name in taps
        }
        total = sum(torch.exp(value) for value in logits.values())
        mixed = torch.zeros(inter.width)
        for name, value in logits.items():
            tap = taps[name][len(taps[name]) - inter.n_blocks + k]
            if name in inter.dtl:
                layer = inter.dtl[name].layers[k]
                tap = layer.weight @ tap + layer.bias
            mixed = mixed + torch.exp(value) / total * tap
        hidden = slow_sanb(inter.blocks[k], hidden + mixed, activation)
    parts.append(slow_head(net.heads["inter"], hidden) if taps else torch.zeros(dim))
    return net.fusion.weight @ torch.cat(parts) + net.fusion.bias


SHAPES = [
    {"image": (3, 6), "text": (3, 6)},
    {"image": (2, 5), "text": (4, 8)},
    {"image": (5, 9), "text": (2, 4)},
    {"audio": (2, 7), "image": (3, 5), "text": (4, 6)},
]


@pytest.mark.parametrize("shapes", SHAPES, ids=["symmetric", "text deeper", "image deeper", "three modalities"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_embeddings_follow_the_formulas(shapes: dict[str, tuple[int, int]], activation: str) -> None:
    source = RandomSource(shapes, n_items=6, seed=2, missing={"text": [1, 4], "image": [4, 5]})
    net = network(shapes, activation=activation)
    fast = net(source.gather(torch.arange(6)))
    for item in range(6):
        taps = {
            name: list(states[item])
            for name, states in source.states.items()
            if source.available[name] is None or source.available[name][item]
        }
        torch.testing.assert_close(fast[item], slow_item(net, taps, activation), atol=1e-5, rtol=1e-5)


def test_gradients_of_the_folded_heads_are_those_of_the_chain() -> None:
    shapes = {"image": (2, 6), "text": (2, 6)}
    source, net = RandomSource(shapes, n_items=5), network(shapes)
    net(source.gather(torch.arange(5))).square().sum().backward()
    fast = {name: parameter.grad.clone() for name, parameter in net.named_parameters()}
    net.zero_grad()
    rows = [slow_item(net, {name: list(states[item]) for name, states in source.states.items()}) for item in range(5)]
    torch.stack(rows).square().sum().backward()
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(fast[name], parameter.grad, atol=1e-4, rtol=1e-4, msg=name)


def test_a_constant_tap_given_once_is_the_same_as_given_for_every_item() -> None:
    shapes = {"image": (3, 6), "text": (3, 6)}
    source = RandomSource(shapes, n_items=5, constant={"image": [0], "text": [0]})
    net = network(shapes)
    states = source.gather(torch.arange(5))
    assert states["text"].taps[0].shape == (1, 6)
    expanded = {name: ItemStates([tap.expand(5, -1) for tap in state.taps]) for name, state in states.items()}
    torch.testing.assert_close(net(states), net(expanded))


def test_an_item_without_content_gets_the_bias_of_the_fusion() -> None:
    shapes = {"image": (2, 6), "text": (2, 6)}
    source = RandomSource(shapes, n_items=3, missing={"image": [1], "text": [1]})
    net = network(shapes)
    out = net(source.gather(torch.arange(3)))
    torch.testing.assert_close(out[1], net.fusion.bias)
    assert not torch.allclose(out[0], net.fusion.bias)


def test_one_modality_needs_no_fusion_and_no_inter_tower() -> None:
    net = network({"text": (3, 6)})
    assert net.inter is None
    assert net.fusion is None
    source = RandomSource({"text": (3, 6)}, n_items=4, missing={"text": [2]})
    out = net(source.gather(torch.arange(4)))
    assert out.shape == (4, 4)
    assert torch.equal(out[2], torch.zeros(4))


@pytest.mark.parametrize(("towers", "n_parts"), [("intra", 2), ("inter", 1), ("both", 3)])
def test_towers_can_be_left_out(towers: Towers, n_parts: int) -> None:
    shapes = {"image": (2, 6), "text": (2, 6)}
    net = network(shapes, towers)
    states = RandomSource(shapes, n_items=4).gather(torch.arange(4))
    assert len(net.tower_embeddings(states)) == n_parts
    assert net(states).shape == (4, 4)


def test_number_of_parameters_at_the_paper_s_shapes() -> None:
    side = ModalityConfig(n_taps=7, width=768, bottleneck=64, head_width=768)
    net = SideNetwork(SideNetworkConfig(modalities={"image": side, "text": side}, inter_head_width=768, dim=64))
    block = 768 * 64 + 64 + 64 * 768 + 768
    head = (768 * 768 + 768) + (768 * 64 + 64)
    expected = 3 * (7 * block + 7 + head) + (3 * 64 * 64 + 64)
    assert sum(parameter.numel() for parameter in net.parameters()) == expected


def test_blocks_start_near_the_identity() -> None:
    side = ModalityConfig(n_taps=2, width=256, bottleneck=64)
    net = SideNetwork(SideNetworkConfig(modalities={"text": side}))
    block = net.intra["text"].blocks[0]
    assert block.down.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert block.up.bias.abs().max().item() == 0
    assert torch.equal(net.intra["text"].gate(), torch.full((2,), 0.5))
