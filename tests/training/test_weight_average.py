"""The moving average of the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from iisan.training.weight_average import WeightAverage


def test_average_follows_the_formula() -> None:
    model = nn.Linear(1, 1, bias=False)
    average = WeightAverage(model, decay=0.9)
    expected = model.weight.item()
    for step in range(60):
        value = float(step * step % 7)
        with torch.no_grad():
            model.weight.fill_(value)
        average.update()
        decay = min(0.9, (step + 1) / (step + 10))
        expected = decay * expected + (1 - decay) * value
        assert average.values[0].item() == pytest.approx(expected, rel=1e-5)


def test_average_is_in_the_model_only_for_a_while() -> None:
    model = nn.Linear(2, 2)
    average = WeightAverage(model, decay=0.5)
    with torch.no_grad():
        model.weight.add_(1)
    trained = model.weight.detach().clone()
    with average.applied():
        torch.testing.assert_close(model.weight, trained - 1)
    assert torch.equal(model.weight, trained)


def test_state_goes_through_a_checkpoint() -> None:
    model = nn.Linear(2, 2)
    average = WeightAverage(model, decay=0.5)
    with torch.no_grad():
        model.weight.add_(1)
    average.update()
    other = WeightAverage(nn.Linear(2, 2), decay=0.5)
    other.load(average.state())
    assert other.n_steps == 1
    assert all(torch.equal(a, b) for a, b in zip(average.values, other.values, strict=True))


def test_what_is_not_trained_is_not_followed() -> None:
    model = nn.Linear(2, 2)
    model.weight.requires_grad_(False)
    assert WeightAverage(model, decay=0.5).names == ["bias"]
