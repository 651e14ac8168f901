"""The sampled softmax against the full one that it estimates."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from torch import Tensor

from iisan.training.batch_items import BatchItems
from iisan.training.config import TrainConfig
from iisan.training.losses.choose import chosen_loss
from iisan.training.losses.full_softmax import full_softmax_loss
from iisan.training.losses.negatives import Negatives
from iisan.training.losses.sampled_softmax import sampled_softmax_loss

N = 40
COUNTS = np.maximum(0, 60 // np.arange(1, N + 1) - 2)  # popular items first; the last twenty have no interaction
CPU = torch.device("cpu")


@pytest.fixture
def problem() -> tuple[Tensor, Tensor, Tensor]:
    """User states, items whose logits differ widely, and targets."""
    torch.manual_seed(0)
    states, items = torch.randn(3, 6, dtype=torch.float64), 1.5 * torch.randn(N, 6, dtype=torch.float64)
    return states.requires_grad_(), items.requires_grad_(), torch.tensor([0, 5, 33])


def gradients(loss: Tensor, states: Tensor, items: Tensor) -> Tensor:
    return torch.cat([gradient.flatten() for gradient in torch.autograd.grad(loss, [states, items])])


def mean_of_draws(problem: tuple[Tensor, Tensor, Tensor], n_draws: int, repeats: int) -> tuple[Tensor, Tensor]:
    """Mean of the gradients, and the standard error of that mean's largest entry."""
    states, items, targets = problem
    negatives = Negatives(np.arange(N), COUNTS, n_draws, CPU)
    torch.manual_seed(1)
    found = []
    for _ in range(repeats):
        drawn = torch.bincount(negatives.draw(), minlength=N).double()
        offsets = negatives.offsets(torch.arange(N), drawn).double()
        found.append(gradients(sampled_softmax_loss(states, targets, items, offsets), states, items))
    all_found = torch.stack(found)
    return all_found.mean(0), (all_found.std(0) / repeats**0.5).max()


def test_the_expected_gradient_goes_to_that_of_the_full_softmax(problem: tuple[Tensor, Tensor, Tensor]) -> None:
    """The bias is that of a logarithm of an estimate: a tenth of it is left with ten times the draws."""
    states, items, targets = problem
    full = gradients(full_softmax_loss(states, targets, items), states, items)
    few, _ = mean_of_draws(problem, 40, 4000)
    many, error = mean_of_draws(problem, 400, 4000)
    bias_few, bias_many = float((few - full).abs().max()), float((many - full).abs().max())
    assert bias_many < 0.2 * bias_few
    assert bias_many < 0.01 * float(full.abs().max()) + 4 * float(error)


def test_the_denominator_is_right_in_expectation(problem: tuple[Tensor, Tensor, Tensor]) -> None:
    states, items, _ = problem
    logits = (states @ items.T).detach()
    negatives = Negatives(np.arange(N), COUNTS, 16, CPU)
    torch.manual_seed(2)
    drawn = torch.stack([torch.bincount(negatives.draw(), minlength=N) for _ in range(20_000)]).double()
    offsets = torch.stack([negatives.offsets(torch.arange(N), row) for row in drawn]).double()
    sums = torch.exp(logits[0] + offsets).sum(1)
    assert abs(float(sums.mean() - logits[0].exp().sum())) < 4 * float(sums.std()) / len(sums) ** 0.5


def test_without_the_correction_it_would_be_another_loss(problem: tuple[Tensor, Tensor, Tensor]) -> None:
    states, items, targets = problem
    full = gradients(full_softmax_loss(states, targets, items), states, items)
    negatives = Negatives(np.arange(N), COUNTS, 100_000, CPU)
    torch.manual_seed(1)
    drawn = torch.bincount(negatives.draw(), minlength=N).double()
    corrected = sampled_softmax_loss(states, targets, items, negatives.offsets(torch.arange(N), drawn).double())
    plain = sampled_softmax_loss(states, targets, items, drawn.log())
    near = float((gradients(corrected, states, items) - full).abs().max())
    far = float((gradients(plain, states, items) - full).abs().max())
    assert far > 3 * near


def test_draws_are_as_often_as_expected() -> None:
    candidates = np.arange(0, N, 2)
    negatives = Negatives(candidates, COUNTS, 60_000, CPU)
    torch.manual_seed(3)
    drawn = torch.bincount(negatives.draw(), minlength=N)
    assert drawn.sum() == 60_000
    assert drawn[1::2].sum() == 0
    expected = 30_000 / len(candidates) + 30_000 * COUNTS[candidates] / COUNTS[candidates].sum()
    np.testing.assert_allclose(drawn[candidates], expected, atol=5 * np.sqrt(expected).max())


def test_candidates_without_interactions_are_drawn_evenly() -> None:
    negatives = Negatives(np.arange(5), np.zeros(9, dtype=np.int64), 1000, CPU)
    drawn = torch.bincount(negatives.draw(), minlength=9)
    assert drawn[:5].min() > 100
    assert drawn.sum() == 1000


@pytest.mark.parametrize("padding", [0, 1])
def test_items_of_a_batch_and_draws_are_one_list(padding: int) -> None:
    windows = torch.tensor([[padding * 9, 4, 2], [2, 3, 4]], dtype=torch.int32)
    batch = BatchItems.drawn(windows, torch.tensor([6, 1, 6]))
    assert batch.rows.tolist() == sorted({*(windows.flatten() - 1).tolist(), 6, 1} - {-1})
    numbers = torch.cat([torch.zeros(1, dtype=torch.long), batch.rows + 1])
    assert (numbers[batch.slots] == windows).all()
    assert {row: count for row, count in zip(batch.rows.tolist(), batch.counts.tolist(), strict=True) if count} == {
        6: 2,
        1: 1,
    }


@pytest.mark.parametrize(
    ("loss", "n_items", "chosen"),
    [
        ("auto", 400, "full_softmax"),
        ("auto", 401, "sampled_softmax"),
        ("in_batch", 401, "in_batch"),
        ("full_softmax", 10**6, "full_softmax"),
        ("sampled_softmax", 5, "sampled_softmax"),
    ],
)
def test_auto_goes_by_the_size_of_the_catalogue(
    loss: str, n_items: int, chosen: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "iisan")
    assert chosen_loss(TrainConfig(loss=loss, negatives=100), n_items) == chosen
    assert ("loss: auto" in caplog.text) == (loss == "auto")
