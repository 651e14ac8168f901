"""States computed anew are those that a store would give back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from iisan.encoders.config import EncoderConfig
from iisan.encoders.load import load_encoder
from iisan.states.absent_modalities import AbsentModalities
from iisan.states.cached_source import CachedSource
from iisan.states.encode_items import encode_items
from iisan.states.live_source import LiveSource
from iisan.states.sources import ModalityShape, StateSource
from iisan.states.store import HiddenStateStore
from iisan.states.store_rounding import store_roundings
from tests.conftest import TinyModels
from tests.tiny_encoders import texts

N = 6


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_numbers_are_rounded_as_a_store_rounds_them(
    tiny_models: TinyModels, tmp_path: Path, dtype: Any, pooling: Any
) -> None:
    config = EncoderConfig(model=str(tiny_models.text), kind="text", pooling=pooling, device="cpu")
    encoder = load_encoder(config)
    contents = [None if row == 2 else text for row, text in enumerate(texts(N))]
    ids = [f"i{row}" for row in range(N)]
    encode_items(encoder, ids, contents, tmp_path / "text", dtype=dtype)
    cached = CachedSource({"text": HiddenStateStore.open(tmp_path / "text")}, ids)
    told: list[tuple[str, int]] = []
    roundings = store_roundings({"text": encoder}, {"text": dtype})
    live = LiveSource({"text": encoder}, {"text": contents}, "cpu", roundings, lambda *one: told.append(one))
    rows = torch.tensor([5, 2, 0, 1, 3, 4])
    stored, computed = cached.gather(rows)["text"], live.gather(rows)["text"]
    assert stored.available is not None
    assert computed.available is not None
    assert torch.equal(stored.available, computed.available)
    present = stored.available
    for one, other in zip(stored.taps, computed.taps, strict=True):
        torch.testing.assert_close(one.expand(N, -1)[present], other.expand(N, -1)[present], atol=1e-6, rtol=0)
    assert told == [("text", N - 1)]


def test_modalities_that_no_item_has(tiny_models: TinyModels) -> None:
    encoder = load_encoder(EncoderConfig(model=str(tiny_models.text), kind="text", device="cpu"))
    live = LiveSource({"text": encoder}, {"text": texts(N)})
    both = AbsentModalities(live, {"image": ModalityShape(3, 7)})
    assert isinstance(both, StateSource)
    assert (both.n_items, both.modalities) == (N, {**live.modalities, "image": ModalityShape(3, 7)})
    states = both.gather(torch.tensor([4, 4]))
    assert states["image"].available is not None
    assert not states["image"].available.any()
    assert [tuple(tap.shape) for tap in states["image"].taps] == [(2, 7)] * 3
    assert torch.equal(states["text"].taps[1], live.gather(torch.tensor([4, 4]))["text"].taps[1])
