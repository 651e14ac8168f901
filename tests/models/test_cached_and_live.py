"""One model, two sources: states from disk and states from the encoders give the same items (docs/design.md)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from iisan.data.dataset import Dataset
from iisan.encoders.load import load_encoder
from iisan.jobs.encode import EncodeJob, modality_contents
from iisan.jobs.train import recommender_config
from iisan.models.recommender import Recommender
from iisan.states.cached_source import CachedSource
from iisan.states.live_source import LiveSource
from iisan.states.store import HiddenStateStore
from iisan.training.config import TrainConfig
from tests.conftest import N_ITEMS, NO_CONTENT, NO_PICTURE, NO_TEXT


@pytest.fixture(scope="module")
def live(tiny_dataset: Dataset, encode_job: Callable[..., EncodeJob]) -> LiveSource:
    job = encode_job(tiny_dataset.path)
    encoders = {name: load_encoder(job.encoder(kind)) for name, kind in sorted(tiny_dataset.modalities.items())}
    return LiveSource(encoders, {name: modality_contents(tiny_dataset, name) for name in encoders})


@pytest.fixture(scope="module", params=[True, False], ids=["in memory", "on disk"])
def cached(request: pytest.FixtureRequest, tiny_dataset: Dataset) -> CachedSource:
    folder = tiny_dataset.path / "states"
    stores = {name: HiddenStateStore.open(folder / name) for name in sorted(tiny_dataset.modalities)}
    return CachedSource(stores, tiny_dataset.item_ids, resident=request.param)


def model(source: CachedSource, **options: object) -> Recommender:
    config = TrainConfig.preset("default", dim=16, bottleneck=8, **options)
    torch.manual_seed(0)
    made = Recommender(recommender_config(config, source.modalities, source.n_items))
    with torch.no_grad():
        for parameter in made.item_encoder.parameters():
            parameter.normal_(std=0.3)
    return made.eval()


def test_the_states_are_the_same(cached: CachedSource, live: LiveSource) -> None:
    rows = torch.arange(N_ITEMS)
    ours, theirs = cached.gather(rows), live.gather(rows)
    assert list(ours) == list(theirs) == ["image", "text"]
    for name, missing in (("image", NO_PICTURE), ("text", NO_TEXT)):
        available = torch.tensor([row not in missing for row in range(N_ITEMS)])
        for states in (ours[name], theirs[name]):
            assert states.available is not None
            assert torch.equal(states.available, available)
        for one, other in zip(ours[name].taps, theirs[name].taps, strict=True):
            expanded = one.expand(N_ITEMS, -1) * available[:, None]
            torch.testing.assert_close(expanded, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("whiten", ["yes", "no"])
@pytest.mark.parametrize("method", ["iisan", "frozen"])
@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_item_embeddings_are_the_same(
    cached: CachedSource, live: LiveSource, whiten: str, method: str, similarity: str
) -> None:
    made = model(cached, whiten=whiten, method=method, similarity=similarity)
    made.fit_whitening(cached)
    ours = made.embed_items(cached)
    torch.testing.assert_close(made.embed_items(live), ours, atol=1e-5, rtol=1e-5)
    # Whitened ahead of time is the same number again.
    torch.testing.assert_close(made.embed_items(made.prepared(cached)), ours, atol=1e-5, rtol=1e-5)
    rows = torch.tensor([5, 3, 20, 7, 3])
    torch.testing.assert_close(made.embed_items(live, rows, chunk=2), ours[rows], atol=1e-5, rtol=1e-5)
    distinct = torch.cdist(ours, ours) + torch.eye(N_ITEMS) > 1e-4
    assert distinct.all(), "the model tells items apart, so that equality means something"


def test_an_item_without_content_is_the_constant_part_alone(cached: CachedSource) -> None:
    made = model(cached, whiten="no", similarity="dot")
    (row,) = NO_CONTENT
    fusion = made.item_encoder.fusion
    assert isinstance(fusion, torch.nn.Linear)
    torch.testing.assert_close(made.embed_items(cached)[row], fusion.bias.detach())
