"""States from encoders under tuning: the numbers of a live source, with gradients, each item once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from iisan.states.content import Content
from iisan.states.live_source import LiveSource
from iisan.tuning.adapter import AdapterTuning
from iisan.tuning.full import FullTuning
from iisan.tuning.peft_method import PeftMethod
from iisan.tuning.tuned_source import TunedSource
from tests.tiny_encoders import pictures, texts
from tests.tuning.conftest import LoadEncoder

N = 9
ROWS = torch.tensor([4, 0, 4, 8, 2, 0])


@pytest.fixture
def contents(tmp_path: Path) -> dict[str, list[Content | None]]:
    words: list[Content | None] = [*texts(N)]
    files: list[Content | None] = [*pictures(tmp_path, N)]
    words[2], files[4], files[8] = "  ", None, None
    return {"image": files, "text": words}


def encoders(load: LoadEncoder) -> dict[str, Any]:
    return {"image": load("image", "vit"), "text": load("text", "bert")}


@pytest.mark.parametrize("recorded", [True, False])
def test_untrained_it_gives_what_the_frozen_encoders_give(
    load: LoadEncoder, contents: dict[str, list[Content | None]], recorded: bool
) -> None:
    live = LiveSource(encoders(load), contents).gather(ROWS)
    tuned = TunedSource(encoders(load), contents, PeftMethod("lora"))
    assert tuned.n_items == N
    with torch.set_grad_enabled(recorded):
        states = tuned.gather(ROWS)
    for name in live:
        torch.testing.assert_close(states[name].stacked(), live[name].stacked(), rtol=1e-5, atol=1e-6)
        assert _same(states[name].available, live[name].available)
        assert states[name].taps[-1].requires_grad is recorded


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    everywhere = torch.ones(len(ROWS), dtype=torch.bool)
    return torch.equal(everywhere if one is None else one, everywhere if other is None else other)


def test_each_distinct_item_passes_the_encoder_once(
    load: LoadEncoder, contents: dict[str, list[Content | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = TunedSource(encoders(load), contents, AdapterTuning(4))
    seen = []
    text = source._encoders["text"]
    original = text.prepare
    monkeypatch.setattr(text, "prepare", lambda batch: seen.append(list(batch)) or original(batch))
    source.gather(ROWS)
    assert seen == [[contents["text"][row] for row in (0, 4, 8)]]


def test_items_without_any_content_give_zeros(load: LoadEncoder, contents: dict[str, list[Content | None]]) -> None:
    source = TunedSource(encoders(load), contents, AdapterTuning(4))
    states = source.gather(torch.tensor([4, 8]))["image"]
    assert not states.stacked().any()
    assert states.available is not None
    assert not states.available.any()


@pytest.mark.parametrize("checkpointed", [False, True])
def test_gradients_reach_what_the_method_trains(
    load: LoadEncoder, contents: dict[str, list[Content | None]], checkpointed: bool
) -> None:
    source = TunedSource(encoders(load), contents, AdapterTuning(4), gradient_checkpointing=checkpointed)
    states = source.gather(ROWS)
    sum(state.stacked().square().sum() for state in states.values()).backward()  # type: ignore[union-attr]
    trained = [parameter for parameter in source.modules.parameters() if parameter.requires_grad]
    assert trained
    assert all(parameter.grad is not None for parameter in trained)


def test_pretrained_weights_run_with_dropout_only_where_they_train(
    load: LoadEncoder, contents: dict[str, list[Content | None]]
) -> None:
    frozen = TunedSource(encoders(load), contents, AdapterTuning(4))
    whole = TunedSource(encoders(load), contents, FullTuning())
    for source, differs in ((frozen, False), (whole, True)):
        torch.manual_seed(0)
        one = source.gather(ROWS)["text"].stacked()
        other = source.gather(ROWS)["text"].stacked()
        assert torch.equal(one, other) is not differs
        with torch.no_grad():
            assert torch.equal(source.gather(ROWS)["text"].stacked(), source.gather(ROWS)["text"].stacked())
