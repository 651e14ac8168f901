"""The in-batch loss against the paper's definition, slot by slot."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from iisan.data.windows import training_windows
from iisan.jobs.train import recommender_config
from iisan.models.recommender import Recommender
from iisan.training.batch_items import BatchItems
from iisan.training.losses.in_batch import in_batch_loss
from iisan.training.losses.own_items import own_items
from iisan.training.step import InBatchStep
from tests.toy_run import N_ITEMS, toy_config, toy_source, toy_split


def slow_loss(windows: Tensor, embeddings: Tensor, user_states: Tensor, log_popularity: Tensor) -> Tensor:
    """Contract point 9, one prediction and one slot at a time; `embeddings` by item number, row 0 is padding."""
    slots = [int(item) for item in windows.flatten()]
    losses = []
    for user, window in enumerate(windows.tolist()):
        own = set(window)
        for position in range(len(window) - 1):
            if window[position] == 0:
                continue
            target_slot = user * len(window) + position + 1
            logits, target_logit = [], None
            for number, item in enumerate(slots):
                if item == 0 or (item in own and number != target_slot):
                    continue
                logit = user_states[user, position] @ embeddings[item] - log_popularity[item]
                logits.append(logit)
                if number == target_slot:
                    target_logit = logit
            losses.append(torch.logsumexp(torch.stack(logits), 0) - target_logit)
    return torch.stack(losses).mean()


@st.composite
def batches(draw: st.DrawFn) -> Tensor:
    length = draw(st.integers(1, 5))
    rows = draw(st.lists(st.lists(st.integers(1, 7), min_size=2, max_size=length + 1), min_size=1, max_size=5))
    windows = torch.zeros(len(rows), length + 1, dtype=torch.int32)
    for line, row in zip(windows, rows, strict=True):
        line[length + 1 - len(row) :] = torch.tensor(row)
    return windows


@settings(max_examples=80, deadline=None)
@given(windows=batches(), seed=st.integers(0, 1000))
def test_loss_and_gradients_equal_the_slow_reference(windows: Tensor, seed: int) -> None:
    torch.manual_seed(seed)
    embeddings = torch.randn(8, 4, dtype=torch.float64, requires_grad=True)
    user_states = torch.randn(len(windows), windows.shape[1] - 1, 4, dtype=torch.float64, requires_grad=True)
    log_popularity = torch.log_softmax(torch.randn(8, dtype=torch.float64), 0)
    expected = slow_loss(windows, embeddings, user_states, log_popularity)
    wanted = torch.autograd.grad(expected, [embeddings, user_states])

    batch = BatchItems.of(windows)
    owners, positions = batch.predicted.nonzero(as_tuple=True)
    targets = batch.slots[:, 1:][owners, positions] - 1
    loss = in_batch_loss(
        user_states[owners, positions],
        targets,
        embeddings[batch.rows + 1],
        log_popularity[batch.rows + 1],
        batch.counts.double(),
        own_items(batch.slots, owners, targets),
    )
    torch.testing.assert_close(loss, expected)
    for ours, theirs in zip(torch.autograd.grad(loss, [embeddings, user_states]), wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


@settings(max_examples=50, deadline=None)
@given(windows=batches())
def test_distinct_items_put_the_batch_together_again(windows: Tensor) -> None:
    batch = BatchItems.of(windows)
    numbers = np.concatenate([[0], batch.rows.numpy() + 1])
    assert (numbers[batch.slots.numpy()] == windows.numpy()).all()
    assert len(set(batch.rows.tolist())) == len(batch.rows)
    for column, row in enumerate(batch.rows.tolist()):
        assert batch.counts[column] == (windows == row + 1).sum()


def test_a_batch_of_one_user_has_only_the_target() -> None:
    batch = BatchItems.of(torch.tensor([[1, 2, 3]]))
    states = torch.randn(2, 4, requires_grad=True)
    targets = torch.tensor([1, 2])
    own = own_items(batch.slots, torch.tensor([0, 0]), targets)
    loss = in_batch_loss(states, targets, torch.randn(3, 4), torch.zeros(3), batch.counts, own)
    loss.backward()
    assert loss.item() == 0
    assert math.isfinite(states.grad.sum().item())


def test_items_that_fill_up_a_batch_change_neither_loss_nor_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    config = toy_config(dropout=0.0, item_id_dropout=0.0)
    torch.manual_seed(0)
    source, split = toy_source(), toy_split()
    model = Recommender(recommender_config(config, source.modalities, N_ITEMS))
    model.fit_whitening(source)
    windows = torch.from_numpy(training_windows(split, 5))[:9]
    batch = BatchItems.of(windows)
    n_items = len(batch.rows)

    def run(rows: int) -> list[torch.Tensor]:
        monkeypatch.setattr(BatchItems, "of", lambda windows: batch.filled(rows, len(windows)))
        loss, _ = InBatchStep(model, model.prepared(source), split)(windows)
        model.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        return [loss.detach(), *(one.grad.clone() for one in model.parameters() if one.grad is not None)]

    torch.testing.assert_close(run(n_items + 3), run(n_items), rtol=1e-5, atol=1e-7)
