"""The full softmax against the plain formula, and its memory against chunk sizes."""

from __future__ import annotations

import pytest
import torch

from iisan.models.config import ModalityConfig, RecommenderConfig, SasrecConfig, SideNetworkConfig
from iisan.models.recommender import Recommender
from iisan.training.losses.full_softmax import embed_catalogue, full_softmax_loss
from tests.random_source import RandomSource


@pytest.mark.parametrize("logits_at_once", [1, 60, 1 << 24])
def test_loss_and_gradients_equal_the_plain_formula(logits_at_once: int) -> None:
    torch.manual_seed(0)
    states = torch.randn(11, 4, dtype=torch.float64, requires_grad=True)
    items = torch.randn(30, 4, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(30, (11,))
    plain = torch.stack(
        [
            torch.logsumexp(items @ state, 0) - items[target] @ state
            for state, target in zip(states, targets, strict=True)
        ]
    ).mean()
    wanted = torch.autograd.grad(plain, [states, items])
    loss = full_softmax_loss(states, targets, items, logits_at_once)
    torch.testing.assert_close(loss, plain)
    for ours, theirs in zip(torch.autograd.grad(loss, [states, items]), wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


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
