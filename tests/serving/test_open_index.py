"""Which index a catalogue gets."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest
import torch

from iisan.errors import UserError
from iisan.models.item_table import ItemTable
from iisan.models.recommender import Recommender
from iisan.serving import approximate_index, open_index
from iisan.serving.index import IndexKind, IndexOptions
from iisan.serving.item_facts import ItemFacts

N, DIM = 3000, 16


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Recommender:
    """Items that lie evenly in all directions, of which 3,000 count as many."""
    monkeypatch.setattr(open_index, "EXACT_UP_TO", 2999)
    monkeypatch.setattr(approximate_index, "FEW", 0)
    torch.manual_seed(0)
    model = Recommender(
        {"item_encoder": {"kind": "id", "n_items": N, "dim": DIM}, "sequence_encoder": {"dim": DIM, "n_layers": 1}}
    ).eval()
    offered = torch.ones(N, dtype=torch.bool)
    model.item_table = ItemTable([f"i{row}" for row in range(N)], [None] * N, torch.randn(N, DIM), offered)
    return model


def opened(model: Recommender, tmp_path: Path, kind: IndexKind, recall: float) -> str:
    facts = ItemFacts.of(model.table, None, tmp_path)
    report = open_index.open_index(model, model.table.embeddings, facts, IndexOptions(kind=kind, recall=recall)).report
    assert report.items == N
    assert report.recall >= recall
    return report.kind


def test_by_size_unless_cells_are_no_help(
    model: Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert opened(model, tmp_path, "auto", 0.05) == "approximate"
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert opened(model, tmp_path, "auto", 1.0) == "exact"
    assert "every item is scored: a tenth of the cells holds" in caplog.text
    assert opened(model, tmp_path, "exact", 0.05) == "exact"
    assert opened(model, tmp_path, "approximate", 1.0) == "approximate"
    monkeypatch.setattr(open_index, "EXACT_UP_TO", 3000)
    assert opened(model, tmp_path, "auto", 0.05) == "exact"


def test_without_faiss_the_error_says_what_to_install(
    model: Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(UserError, match=r"needs FAISS; install it with `pip install 'iisan\[serve\]'`"):
        opened(model, tmp_path, "approximate", 0.9)


def test_a_catalogue_that_offers_nothing(model: Recommender, tmp_path: Path) -> None:
    model.table.recommendable[:] = False
    assert opened(model, tmp_path, "approximate", 0.9) == "exact"
