"""Cached, resident and live states are the same numbers behind one interface."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from iisan.encoders import ImageEncoder, TextEncoder
from iisan.states import (
    CachedSource,
    HiddenStateStore,
    IndexEntry,
    ItemStates,
    LiveSource,
    ModalityShape,
    StateSource,
    StoreDtype,
    StoreSpec,
    StoreWriter,
    encode_items,
)
from tiny_encoders import texts

ITEMS = [f"i{k}" for k in range(9)]


@pytest.fixture(scope="module", params=["first", "mean"])
def sources(
    request: pytest.FixtureRequest,
    text_encoder: Callable[..., TextEncoder],
    image_encoder: ImageEncoder,
    picture_files: list[Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, StateSource]:
    folder = tmp_path_factory.mktemp("stores")
    encoders: dict[str, TextEncoder | ImageEncoder] = {
        "text": text_encoder(pooling=request.param, batch_size=3),
        "image": image_encoder,
    }
    text: list[str | Path | None] = [*texts(7), None, " "]
    text[3] = text[1]
    image: list[str | Path | None] = [*picture_files]
    contents = {"text": text, "image": image}
    for name, encoder in encoders.items():
        encode_items(encoder, ITEMS, contents[name], folder / name, dtype="float32", shard_rows=2)
    stores = {name: HiddenStateStore.open(folder / name) for name in encoders}
    return {
        "live": LiveSource(encoders, contents),
        "mapped": CachedSource(stores, ITEMS, resident=False),
        "resident": CachedSource(stores, ITEMS, resident=True),
    }


ROWS = [[0], [8, 0, 0, 3, 1, 7], list(range(9)), [7], [7, 8]]


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("kind", ["mapped", "resident"])
def test_cached_and_live_are_the_same_numbers(kind: str, rows: list[int], sources: dict[str, StateSource]) -> None:
    wanted = torch.tensor(rows)
    cached, live = sources[kind].gather(wanted), sources["live"].gather(wanted)
    assert list(cached) == list(live) == ["text", "image"]
    for name in cached:
        one, other = cached[name], live[name]
        assert len(one.taps) == len(other.taps) == sources[kind].modalities[name].n_taps
        has = torch.ones(len(rows), dtype=torch.bool) if other.available is None else other.available
        for tap, expected in zip(one.taps, other.taps, strict=True):
            assert tap.dtype == torch.float32
            assert tap.shape[0] in {1, len(rows)}
            torch.testing.assert_close(tap.expand(len(rows), -1)[has], expected[has], rtol=1e-5, atol=1e-5)
            if tap.shape[0] == len(rows):
                assert not tap[~has].any() or len(rows) == 1
    assert cached["image"].available is None
    assert cached["text"].available is not None
    expected_availability = [row < 7 for row in rows]
    assert cached["text"].available.tolist() == expected_availability
    given = live["text"].available
    assert (given is None) == all(expected_availability)
    assert given is None or given.tolist() == expected_availability


def test_sources_keep_the_protocol(sources: dict[str, StateSource]) -> None:
    for source in sources.values():
        assert isinstance(source, StateSource)
        assert source.n_items == 9
        assert source.modalities == {"text": ModalityShape(5, 16), "image": ModalityShape(3, 16)}


def test_states_can_be_trained_from(sources: dict[str, StateSource]) -> None:
    for source in sources.values():
        layer = torch.nn.Linear(16, 1)
        layer(source.gather(torch.tensor([1, 2]))["text"].stacked()).sum().backward()
        assert layer.weight.grad is not None


def test_stacked_expands_constant_taps() -> None:
    states = ItemStates(taps=[torch.ones(1, 2), torch.zeros(3, 2)], available=torch.tensor([True, True, False]))
    assert states.n_items == 3
    assert states.stacked().shape == (3, 2, 2)
    assert states.stacked()[:, 0].unique().tolist() == [1.0]
    assert states.to("cpu").stacked().equal(states.stacked())


@settings(max_examples=40, deadline=None)
@given(
    catalogue=st.lists(st.sampled_from("abcdefgh"), min_size=1, unique=True),
    stored=st.lists(st.sampled_from("abcdefgh"), unique=True),
    dtype=st.sampled_from(["float16", "bfloat16", "float32"]),
    resident=st.booleans(),
    data=st.data(),
)
def test_cached_rows_agree_with_a_dictionary(
    catalogue: list[str], stored: list[str], dtype: StoreDtype, resident: bool, data: st.DataObject, tmp_path_factory
) -> None:
    path = tmp_path_factory.mktemp("store")
    constant = torch.tensor([[3.0, 4.0]])
    slow: dict[str, torch.Tensor] = {}
    with StoreWriter(path, StoreSpec({}, dtype, (0, 2, 3), 2, (2,), constant)) as writer:
        for start in range(0, len(stored), 3):
            part = stored[start : start + 3]
            states = torch.randn(len(part), 3, 2).to(getattr(torch, dtype)).float()
            states[:, 1] = constant
            writer.append(states, [IndexEntry(item, item, writer.next_row + k) for k, item in enumerate(part)])
            slow.update(zip(part, states, strict=True))
    source = CachedSource({"m": HiddenStateStore.open(path)}, catalogue, resident=resident)
    rows = data.draw(st.lists(st.integers(0, len(catalogue) - 1), max_size=10))
    got = source.gather(torch.tensor(rows, dtype=torch.int64))["m"]
    assert [tap.shape for tap in got.taps] == [(len(rows), 2), (1, 2), (len(rows), 2)]
    assert (got.available is None) == all(item in slow for item in catalogue)
    for k, row in enumerate(rows):
        item = catalogue[row]
        expected = slow.get(item, torch.zeros(3, 2))
        assert torch.equal(got.taps[0][k], expected[0])
        assert torch.equal(got.taps[2][k], expected[2])
        assert got.available is None or bool(got.available[k]) == (item in slow)


def test_auto_loads_what_fits_the_budget_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with StoreWriter(tmp_path, StoreSpec({}, "float16", (0,), 4)) as writer:
        writer.append(torch.zeros(10, 1, 4), [IndexEntry(str(k), str(k), k) for k in range(10)])
    stores = {"m": HiddenStateStore.open(tmp_path)}
    ids = [str(k) for k in range(10)]
    with caplog.at_level(logging.INFO, logger="iisan.states.cached_source"):
        assert CachedSource(stores, ids, budget_bytes=80).resident
        assert not CachedSource(stores, ids, budget_bytes=79).resident
    assert "loaded to cpu" in caplog.records[0].message
    assert "read from disk" in caplog.records[1].message


def test_live_source_refuses_contents_that_do_not_fit(text_encoder: Callable[..., TextEncoder]) -> None:
    with pytest.raises(ValueError, match=r"\['text'\].*\['image'\]"):
        LiveSource({"text": text_encoder()}, {"image": []})
    with pytest.raises(ValueError, match=r"\[1, 2\]"):
        LiveSource({"a": text_encoder(), "b": text_encoder()}, {"a": ["x"], "b": ["x", "y"]})
