"""The hand-written pass through a tower's blocks gives what autograd gives for the blocks one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from iisan.models.product_parts import LEAST_ROWS, row_parts
from iisan.models.sanb import SANB, Activation
from iisan.models.side_by_side import lay_side_by_side
from iisan.models.tower_pass import run_gated, run_gated_towers, run_shared

N, WIDTH, BOTTLENECK, BLOCKS = 5, 6, 3, 3


def plain_gated(blocks: Sequence[SANB], taps: Sequence[Tensor], gates: Tensor) -> Tensor:
    hidden = torch.zeros_like(taps[0])
    for block, tap, gate in zip(blocks, taps, gates.unbind(), strict=True):
        hidden = block(gate * tap + (1 - gate) * hidden)
    return hidden


def plain_shared(blocks: Sequence[SANB], taps: Sequence[Sequence[Tensor]], shares: Tensor) -> Tensor:
    hidden = torch.zeros_like(taps[0][0])
    for block, row, weights in zip(blocks, taps, shares.unbind(), strict=True):
        hidden = block(hidden + sum(weight * tap for weight, tap in zip(weights.unbind(), row, strict=True)))
    return hidden


def random(*shape: int, dtype: torch.dtype = torch.float64, grad: bool = True) -> Tensor:
    return torch.randn(*shape, dtype=dtype).requires_grad_(grad)


def make_blocks(
    activation: Activation = "relu", dropout: float = 0.0, dtype: torch.dtype = torch.float64
) -> list[SANB]:
    blocks = [SANB(WIDTH, BOTTLENECK, activation, dropout).to(dtype) for _ in range(BLOCKS)]
    for parameter in (parameter for block in blocks for parameter in block.parameters()):
        torch.nn.init.normal_(parameter, std=0.5)
    return blocks


def gradients(output: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
    torch.manual_seed(7)
    return list(torch.autograd.grad((output * torch.randn_like(output)).sum(), inputs))


def weights_of(blocks: Sequence[SANB]) -> list[Tensor]:
    return [parameter for block in blocks for parameter in block.parameters()]


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("rows", [(N, N, N), (N, 1, N), (1, N, N), (1, 1, N), (1, N, 1), (1, 1, 1)], ids=str)
def test_gated_blocks(activation: Activation, rows: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    blocks, taps = make_blocks(activation), [random(n, WIDTH) for n in rows]
    gates = torch.rand(BLOCKS, dtype=torch.float64, requires_grad=True)
    inputs = [*taps, gates, *weights_of(blocks)]
    expected, found = plain_gated(blocks, taps, gates), run_gated(blocks, taps, gates)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients(found, inputs), gradients(expected, inputs))


@pytest.mark.parametrize("rows", [(N, N, N), (1, N, N), (1, 1, N), (1, N, 1), (1, 1, 1)], ids=str)
@pytest.mark.parametrize("n_towers", [2, 3])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_towers_side_by_side(activation: Activation, n_towers: int, rows: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    towers = [make_blocks(activation) for _ in range(n_towers)]
    taps = [[random(n, WIDTH) for n in rows] for _ in towers]
    gates = [torch.rand(BLOCKS, dtype=torch.float64, requires_grad=True) for _ in towers]
    alone = [plain_gated(*tower) for tower in zip(towers, taps, gates, strict=True)]
    together = run_gated_towers(towers, taps, gates)
    torch.testing.assert_close(list(together), alone)
    inputs = [
        one for blocks, its, gate in zip(towers, taps, gates, strict=True) for one in (*its, gate, *weights_of(blocks))
    ]
    torch.testing.assert_close(gradients(torch.cat(list(together)), inputs), gradients(torch.cat(alone), inputs))


def test_towers_whose_weights_and_taps_lie_in_one_storage() -> None:
    torch.manual_seed(0)
    towers = [make_blocks() for _ in range(2)]
    for same in zip(*(block.parameters() for blocks in towers for block in blocks), strict=True):
        lay_side_by_side(same)
    room = random(2, BLOCKS, N, WIDTH, grad=False)
    taps = [list(its.unbind()) for its in room.unbind()]
    gates = [torch.rand(BLOCKS, dtype=torch.float64, requires_grad=True) for _ in towers]
    inputs = [one for blocks, gate in zip(towers, gates, strict=True) for one in (gate, *weights_of(blocks))]
    alone = torch.cat([plain_gated(*tower) for tower in zip(towers, taps, gates, strict=True)])
    together = torch.cat(list(run_gated_towers(towers, taps, gates)))
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(gradients(together, inputs), gradients(alone, inputs))


def test_weights_that_change_before_the_backward_pass_are_noticed() -> None:
    towers = [make_blocks() for _ in range(2)]
    for same in zip(*(block.parameters() for blocks in towers for block in blocks), strict=True):
        lay_side_by_side(same)
    gates = [torch.full((BLOCKS,), 0.4, dtype=torch.float64)] * 2
    first, second = run_gated_towers(towers, [[random(N, WIDTH) for _ in range(BLOCKS)] for _ in towers], gates)
    with torch.no_grad():
        towers[1][0].up.weight.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        (first.sum() + second.sum()).backward()


@pytest.mark.parametrize("rows", [2 * LEAST_ROWS, 2 * LEAST_ROWS + 1])
def test_items_of_a_tower_alone_are_shared_out_among_cores(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert row_parts(rows, torch.device("cpu")) == 2
    assert row_parts(rows - 2, torch.device("cpu")) == 1
    assert row_parts(rows, torch.device("meta")) == 1
    torch.manual_seed(0)
    blocks, taps = make_blocks(), [[random(n, WIDTH), random(rows, WIDTH)] for n in (1, rows, rows)]
    shares = random(BLOCKS, 2)
    inputs = [*(tap for row in taps for tap in row), shares, *weights_of(blocks)]
    expected, found = plain_shared(blocks, taps, shares), run_shared(blocks, taps, shares)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients(found, inputs), gradients(expected, inputs))


def test_towers_side_by_side_drop_different_activations() -> None:
    torch.manual_seed(2)
    blocks = make_blocks("gelu", dropout=0.5)
    taps, gates = [random(N, WIDTH, grad=False) for _ in range(BLOCKS)], torch.full((BLOCKS,), 0.3, dtype=torch.float64)

    def run(*weights: Tensor) -> tuple[Tensor, ...]:
        torch.manual_seed(3)
        return tuple(run_gated_towers([blocks, blocks], [taps, taps], [gates, gates]))

    first, second = run()
    assert not torch.equal(first, second)
    assert torch.autograd.gradcheck(run, tuple(weights_of(blocks)))


def test_only_one_of_several_towers_may_be_wanted() -> None:
    torch.manual_seed(3)
    towers, gates = [make_blocks() for _ in range(2)], [torch.full((BLOCKS,), 0.4, dtype=torch.float64)] * 2
    taps = [[random(N, WIDTH) for _ in range(BLOCKS)] for _ in towers]
    inputs = [*taps[0], *weights_of(towers[0])]
    found = gradients(run_gated_towers(towers, taps, gates)[0], inputs)
    torch.testing.assert_close(found, gradients(plain_gated(towers[0], taps[0], gates[0]), inputs))


@pytest.mark.parametrize("shape", [(BLOCKS, 2), (BLOCKS, 2, N, 1)], ids=["one-share", "share-by-item"])
@pytest.mark.parametrize("first", [(N, 1), (1, N), (N, N), (1, 1)], ids=str)
@pytest.mark.parametrize("later", [(N, 1), (1, N), (N, N), (1, 1)], ids=str)
def test_blocks_with_shares(shape: tuple[int, ...], first: tuple[int, int], later: tuple[int, int]) -> None:
    torch.manual_seed(0)
    blocks = make_blocks("gelu")
    taps = [[random(n, WIDTH) for n in (later if k else first)] for k in range(BLOCKS)]
    shares = random(*shape)
    inputs = [*(tap for row in taps for tap in row), shares, *weights_of(blocks)]
    expected, found = plain_shared(blocks, taps, shares), run_shared(blocks, taps, shares)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients(found, inputs), gradients(expected, inputs))


def test_gradients_are_the_differences_quotients() -> None:
    torch.manual_seed(1)
    blocks = make_blocks("gelu")

    def run(gates: Tensor, *taps: Tensor) -> Tensor:
        return run_gated(blocks, taps, gates)

    gates = torch.rand(BLOCKS, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(run, (gates, random(1, WIDTH), *(random(N, WIDTH) for _ in range(BLOCKS - 1))))


def test_dropped_activations_are_dropped_backward_too() -> None:
    torch.manual_seed(2)
    blocks = make_blocks("gelu", dropout=0.5)

    def run(first: Tensor, *weights: Tensor) -> Tensor:
        torch.manual_seed(3)
        return run_gated(blocks, [first, *taps], gates)

    first, *taps = (random(N, WIDTH, grad=not k) for k in range(BLOCKS))
    gates = torch.full((BLOCKS,), 0.3, dtype=torch.float64)
    assert torch.autograd.gradcheck(run, (first, *weights_of(blocks)))
    for block in blocks:
        block.eval()
    torch.testing.assert_close(run(first), plain_gated(blocks, [first, *taps], gates))


@pytest.mark.parametrize("gate", [0.0, 1.0])
def test_a_gate_that_is_shut_or_wide_open_has_a_finite_gradient(gate: float) -> None:
    torch.manual_seed(4)
    blocks = make_blocks(dtype=torch.float32)
    taps = [random(N, WIDTH, dtype=torch.float32) for _ in range(BLOCKS)]
    gates = torch.full((BLOCKS,), gate, requires_grad=True)
    (gradient,) = gradients(run_gated(blocks, taps, gates), [gates])
    assert gradient.isfinite().all()


def test_single_precision_is_close_to_double() -> None:
    torch.manual_seed(5)
    double, taps = make_blocks(), [random(N, WIDTH) for _ in range(BLOCKS)]
    gates = torch.tensor([0.999, 0.5, 1e-4], dtype=torch.float64, requires_grad=True)
    single = make_blocks(dtype=torch.float32)
    for block, its_double in zip(single, double, strict=True):
        block.load_state_dict(its_double.state_dict())
    inputs = [taps[0], gates, *weights_of(double)]
    expected = gradients(plain_gated(double, taps, gates), inputs)
    first, low_gates = (one.detach().float().requires_grad_() for one in (taps[0], gates))
    output = run_gated(single, [first, *(tap.detach().float() for tap in taps[1:])], low_gates)
    torch.manual_seed(7)
    weighting = torch.randn(N, WIDTH, dtype=torch.float64).float()
    found = torch.autograd.grad((output * weighting).sum(), [first, low_gates, *weights_of(single)])
    for one, other, name in zip(
        found, expected, ["tap", "gates", *("weight" for _ in weights_of(single))], strict=True
    ):
        scale = float(other.abs().max())
        # A gate's gradient is that of its logit, which has the factor 1 − gate.
        factor = (1 - gates.detach()) if name == "gates" else 1.0
        torch.testing.assert_close(one.double() * factor, other * factor, atol=1e-5 * scale, rtol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_products_are_lowered_where_autocast_says_so(activation: Activation) -> None:
    torch.manual_seed(0)  # of ReLU's inputs none is so near to 0 that rounding takes it to the other side
    blocks = make_blocks(activation, dtype=torch.float32)
    taps = [random(N, WIDTH, dtype=torch.float32) for _ in range(BLOCKS)]
    gates = torch.full((BLOCKS,), 0.4, requires_grad=True)
    inputs = [*taps, gates, *weights_of(blocks)]
    exact = run_gated(blocks, taps, gates)
    with torch.autocast("cpu", torch.bfloat16):
        expected, found = plain_gated(blocks, taps, gates), run_gated(blocks, taps, gates)
    assert found.dtype == torch.float32
    assert not torch.equal(found, exact)
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)
    for one, other in zip(gradients(found, inputs), gradients(expected, inputs), strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, rtol=0.1, atol=0.05 * max(1.0, float(other.abs().max())))


@pytest.mark.parametrize("run", [run_gated, run_shared])
def test_without_gradients_the_result_and_the_inputs_stay_the_same(run: Callable[..., Tensor]) -> None:
    torch.manual_seed(8)
    blocks = make_blocks()
    taps = [random(N, WIDTH, grad=False) for _ in range(BLOCKS)]
    before = [tap.clone() for tap in taps]
    weights = torch.rand(BLOCKS, dtype=torch.float64)
    arguments = (blocks, taps, weights) if run is run_gated else (blocks, [[t] for t in taps], weights[:, None])
    expected = run(*arguments).detach()
    with torch.inference_mode():
        found = run(*arguments)
    torch.testing.assert_close(found, expected)
    assert all(torch.equal(tap, old) for tap, old in zip(taps, before, strict=True))


def test_what_is_kept_for_the_backward_pass_can_be_computed_again() -> None:
    """As the full softmax does with each chunk of a catalogue."""
    torch.manual_seed(9)
    blocks = make_blocks()
    taps, gates = [random(N, WIDTH) for _ in range(BLOCKS)], torch.rand(BLOCKS, dtype=torch.float64)
    packed: list[Tensor] = []

    def note(kept: Tensor) -> Tensor:
        packed.append(kept)
        return kept

    with torch.autograd.graph.saved_tensors_hooks(note, lambda kept: kept):
        again = checkpoint(run_gated, blocks, taps, gates, use_reentrant=False)
    n_packed = len(packed)
    once = run_gated(blocks, taps, gates)
    assert n_packed < BLOCKS  # nothing of the blocks
    torch.testing.assert_close(gradients(again, weights_of(blocks)), gradients(once, weights_of(blocks)))
