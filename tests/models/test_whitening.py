"""Whitening against a slow reference, and done once wherever it is done."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from iisan.errors import UserError
from iisan.jobs.train import recommender_config
from iisan.models.whitened_source import WhitenedSource
from iisan.models.whitening import Whitening
from iisan.states.sources import ItemStates, ModalityShape
from iisan.training.config import TrainConfig
from tests.random_source import RandomSource


def ledoit_wolf(x: np.ndarray) -> np.ndarray:
    """The shrunk covariance, straight from the paper's definitions, item by item."""
    n, width = x.shape
    x = x - x.mean(axis=0)
    s = sum(np.outer(row, row) for row in x) / n
    m = np.trace(s) / width
    d2 = ((s - m * np.eye(width)) ** 2).sum() / width
    b2 = sum(((np.outer(row, row) - s) ** 2).sum() / width for row in x) / n**2
    b2 = min(b2, d2)
    return b2 / d2 * m * np.eye(width) + (1 - b2 / d2) * s


def test_matrix_is_the_inverse_root_of_the_shrunk_covariance() -> None:
    source = RandomSource({"text": (2, 6)}, n_items=50, seed=3)
    whitening = Whitening(2, 6)
    whitening.fit(source, "text", chunk=16)
    for tap in range(2):
        x = source.states["text"][:, tap].double().numpy()
        values, vectors = np.linalg.eigh(ledoit_wolf(x))
        expected = vectors @ np.diag(values**-0.5) @ vectors.T
        np.testing.assert_allclose(whitening.matrix[tap].numpy(), expected, atol=1e-4)
        np.testing.assert_allclose(whitening.mean[tap].numpy(), x.mean(axis=0), atol=1e-5)


def test_many_items_come_out_with_unit_covariance() -> None:
    source = RandomSource({"text": (1, 5)}, n_items=5000, seed=0, scales=torch.tensor([1.0, 3.0, 0.3, 2.0, 1.0]))
    whitening = Whitening(1, 5)
    whitening.fit(source, "text")
    out = whitening(source.gather(torch.arange(5000))["text"]).taps[0]
    np.testing.assert_allclose(np.cov(out.T.numpy()), np.eye(5), atol=0.05)


def test_few_items_are_whitened_little() -> None:
    source = RandomSource({"text": (1, 200)}, n_items=20, seed=0)
    whitening = Whitening(1, 200)
    whitening.fit(source, "text")
    gains = torch.linalg.eigvalsh(whitening.matrix[0])
    assert gains.max() / gains.min() < 2


def test_items_without_the_modality_do_not_count() -> None:
    source = RandomSource({"text": (1, 4)}, n_items=40, seed=1, missing={"text": [0, 5, 6]})
    whitening = Whitening(1, 4)
    whitening.fit(source, "text", chunk=7)
    kept = source.states["text"][[row for row in range(40) if row not in (0, 5, 6)], 0]
    torch.testing.assert_close(whitening.mean[0], kept.mean(dim=0))


def test_states_are_whitened_once() -> None:
    source = RandomSource({"text": (2, 4)}, n_items=30, seed=1)
    whitening = Whitening(2, 4)
    whitening.fit(source, "text")
    once = whitening(source.gather(torch.arange(30))["text"])
    twice = whitening(once)
    assert all(torch.equal(a, b) for a, b in zip(once.taps, twice.taps, strict=True))


def test_a_constant_tap_becomes_zero() -> None:
    source = RandomSource({"text": (2, 4)}, n_items=30, seed=1, constant={"text": [0]})
    whitening = Whitening(2, 4)
    whitening.fit(source, "text")
    first = whitening(source.gather(torch.arange(3))["text"]).taps[0]
    assert first.shape == (1, 4)
    torch.testing.assert_close(first, torch.zeros(1, 4), atol=1e-6, rtol=0)


@pytest.mark.parametrize("budget", [0, 1 << 30])
def test_kept_and_computed_states_agree(budget: int) -> None:
    source = RandomSource({"text": (2, 4), "image": (3, 5)}, n_items=30, seed=1, missing={"image": [2]})
    whitening = {"text": Whitening(2, 4), "image": Whitening(3, 5)}
    for name, part in whitening.items():
        part.fit(source, name)
    rows = torch.tensor([4, 2, 4, 0])
    prepared = WhitenedSource(source, whitening, budget=budget)
    for name, states in prepared.gather(rows).items():
        expected: ItemStates = whitening[name](source.gather(rows)[name])
        assert states.whitened
        for tap, other in zip(states.taps, expected.taps, strict=True):
            torch.testing.assert_close(tap, other)
        assert (states.available is None) == (expected.available is None)
        if states.available is not None and expected.available is not None:
            assert torch.equal(states.available, expected.available)
    assert prepared.n_items == 30
    assert prepared.modalities == source.modalities


def test_matrices_that_would_take_gigabytes_are_refused() -> None:
    with pytest.raises(UserError, match="GiB"):
        Whitening(17, 4096)


@pytest.mark.parametrize("budget", [0, 1 << 30])
def test_a_modality_that_is_not_whitened_is_served_as_it_is(budget: int) -> None:
    source = RandomSource({"text": (2, 4), "image": (3, 5)}, n_items=30, seed=1)
    whitening = Whitening(2, 4)
    whitening.fit(source, "text")
    rows = torch.tensor([7, 1])
    served = WhitenedSource(source, {"text": whitening}, budget=budget).gather(rows)
    assert served["text"].whitened
    assert not served["image"].whitened
    for tap, other in zip(served["image"].taps, source.gather(rows)["image"].taps, strict=True):
        assert torch.equal(tap, other)


@pytest.mark.parametrize(
    ("whiten", "n_items", "whitened"),
    [("auto", 35, set()), ("auto", 36, {"text"}), ("auto", 60, {"text", "image"}), ("yes", 5, {"text", "image"})],
)
def test_auto_whitens_where_there_are_enough_items(whiten: str, n_items: int, whitened: set[str]) -> None:
    shapes = {"image": ModalityShape(2, 20), "text": ModalityShape(2, 12)}
    config = recommender_config(TrainConfig.preset("default", whiten=whiten, dim=8), shapes, n_items)
    assert set(config.whitening) == whitened
