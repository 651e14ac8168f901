"""The full softmax against the plain formula, and its memory against chunk sizes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from iisan.models.config import ModalityConfig, RecommenderConfig, SasrecConfig, SideNetworkConfig
from iisan.models.recommender import Recommender
from iisan.training.losses.full_softmax import embed_catalogue, full_softmax_loss
from iisan.training.losses.target_softmax import LOGITS_AT_ONCE
from tests.random_source import RandomSource


def plain_loss(states: Tensor, targets: Tensor, items: Tensor, left_out: Tensor | None = None) -> Tensor:
    """One prediction at a time, by the formula."""
    losses = []
    for number, (state, target) in enumerate(zip(states, targets.tolist(), strict=True)):
        ignored = set() if left_out is None else set(left_out[number].tolist()) - {target}
        compared = [row for row in range(len(items)) if row not in ignored]
        losses.append(torch.logsumexp(items[compared] @ state, 0) - items[target] @ state)
    return torch.stack(losses).mean()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("group", [1, 4, 11, None])
@pytest.mark.parametrize("masked", [False, True])
def test_loss_and_gradients_equal_the_plain_formula(dtype: torch.dtype, group: int | None, masked: bool) -> None:
    torch.manual_seed(0)
    states = torch.randn(11, 4, dtype=dtype, requires_grad=True)
    items = torch.randn(30, 4, dtype=dtype, requires_grad=True)
    targets = torch.randint(30, (11,))
    left_out = torch.cat([torch.randint(30, (11, 5)), targets.unsqueeze(1)], dim=1) if masked else None
    plain = plain_loss(states, targets, items, left_out)
    wanted = torch.autograd.grad(plain, [states, items])
    loss = full_softmax_loss(states, targets, items, left_out, group)
    torch.testing.assert_close(loss, plain, atol=1e-5, rtol=0)
    for ours, theirs in zip(torch.autograd.grad(loss, [states, items]), wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_a_scaled_loss_has_scaled_gradients() -> None:
    torch.manual_seed(0)
    states, items = torch.randn(5, 4, requires_grad=True), torch.randn(9, 4, requires_grad=True)
    targets = torch.randint(9, (5,))
    wanted = torch.autograd.grad(3 * plain_loss(states, targets, items), [states, items])
    found = torch.autograd.grad(3 * full_softmax_loss(states, targets, items), [states, items])
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_gradients_are_handed_out_once() -> None:
    states, items = torch.randn(5, 4, requires_grad=True), torch.randn(9, 4)
    loss = full_softmax_loss(states, torch.zeros(5, dtype=torch.long), items)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="compute the loss again"):
        loss.backward()


def test_a_target_far_below_the_others_has_a_finite_loss() -> None:
    states = torch.full((1, 1), 100.0, requires_grad=True)
    items = torch.tensor([[1.0], [-1.0]], requires_grad=True)
    loss = full_softmax_loss(states, torch.tensor([1]), items)
    assert loss.item() == pytest.approx(200)
    loss.backward()
    assert states.grad is not None
    assert states.grad.item() == pytest.approx(2)


def test_no_more_logits_are_held_than_a_group_has() -> None:
    """16 Mi logits of 4096 predictions would be 64 MiB, and as much again for their gradient."""
    states, items = torch.randn(4096, 8, requires_grad=True), torch.randn(4096, 8, requires_grad=True)
    targets = torch.randint(4096, (4096,))
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        full_softmax_loss(states, targets, items).backward()
    largest = max(event.self_cpu_memory_usage for event in profiler.events())
    assert largest <= 4 * (LOGITS_AT_ONCE["cpu"] + 4096)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_chunks_recomputed_give_the_gradients_of_one_pass(dropout: float) -> None:
    shapes = {"image": (2, 6), "text": (3, 6)}
    source = RandomSource(shapes, n_items=40)
    sides = {name: ModalityConfig(n_taps=taps, width=width) for name, (taps, width) in shapes.items()}
    torch.manual_seed(0)
    model = Recommender(
        RecommenderConfig(
            item_encoder=SideNetworkConfig(modalities=sides, dim=8, dropout=dropout),
            sequence_encoder=SasrecConfig(dim=8, n_heads=1),
        )
    )
    rows = torch.arange(40)
    gradients = []
    for chunk in (40, 7):
        torch.manual_seed(5)
        model.zero_grad()
        embeddings = embed_catalogue(model, source, rows, chunk)
        assert embeddings.shape == (40, 8)
        embeddings.sin().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in model.item_encoder.parameters()])
    if dropout == 0:
        for whole, chunked in zip(*gradients, strict=True):
            torch.testing.assert_close(whole, chunked, atol=1e-5, rtol=1e-4)
    else:  # dropout differs by chunk, but the recomputation must see the forward pass's own
        torch.manual_seed(5)
        model.zero_grad()
        plain = torch.cat([model.item_embeddings(source.gather(part), part) for part in rows.split(7)])
        plain.sin().sum().backward()
        for parameter, chunked in zip(model.item_encoder.parameters(), gradients[1], strict=True):
            torch.testing.assert_close(parameter.grad, chunked, atol=1e-5, rtol=1e-4)
