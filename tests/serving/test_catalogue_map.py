"""The map of the catalogue: principal components that two starts agree on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from iisan.serving import catalogue_map
from iisan.serving.catalogue_map import MOST_POINTS, CatalogueMap, MapAxes


def clouds(n: int, dim: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    spread = torch.tensor([5.0, 2.0, *[0.3] * (dim - 2)])
    turn = torch.linalg.qr(torch.randn(dim, dim, generator=generator)).Q
    return (torch.randn(n, dim, generator=generator) * spread) @ turn + 3


def test_points_are_the_first_two_components(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue_map, "BLOCK", 37)
    embeddings = clouds(400, 6)
    shown = torch.ones(400, dtype=torch.bool)
    shown[::7] = False
    found = CatalogueMap.of(embeddings, shown)
    assert found.rows.tolist() == shown.nonzero().flatten().tolist()
    assert found.n_items == len(found.rows)
    kept = embeddings[shown].double()
    centred = kept - kept.mean(dim=0)
    wanted = centred @ torch.linalg.svd(centred, full_matrices=False).Vh[:2].T
    for axis in range(2):
        along, found_along = wanted[:, axis].numpy(), found.points[:, axis].astype(np.float64)
        assert abs(np.corrcoef(along, found_along)[0, 1]) == pytest.approx(1, abs=1e-6)
    # One scale: the distances between points are those between the projections.
    assert np.linalg.norm(found.points[0] - found.points[1]) * found.axes.scale == pytest.approx(
        float((wanted[0] - wanted[1]).norm()), rel=1e-4
    )
    assert np.abs(found.points).max() == pytest.approx(1)
    first, second = found.axes.shares
    assert 1 >= first > second > 0.05


def test_signs_do_not_depend_on_the_start() -> None:
    embeddings = clouds(300, 5)
    rows = torch.arange(300)
    axes = MapAxes.of(embeddings, rows)
    again = MapAxes.of(embeddings.flip(0), rows)
    assert torch.allclose(axes.axes, again.axes, atol=1e-6)
    biggest = axes.axes.gather(0, axes.axes.abs().argmax(dim=0, keepdim=True))
    assert bool((biggest > 0).all())


def test_a_long_catalogue_is_sampled_evenly() -> None:
    n = 3 * MOST_POINTS
    found = CatalogueMap.of(clouds(n, 4), torch.ones(n, dtype=torch.bool))
    assert len(found.rows) == MOST_POINTS
    assert (found.rows[0], found.rows[-1]) == (0, n - 1)
    assert set(np.diff(found.rows)) <= {2, 3, 4}
    assert found.n_items == n


def test_items_that_come_later_do_not_move_the_others() -> None:
    embeddings = clouds(100, 4)
    before = CatalogueMap.of(embeddings, torch.ones(100, dtype=torch.bool))
    more = torch.cat([embeddings, torch.full((1, 4), 1000.0)])
    after = CatalogueMap.of(more, torch.ones(101, dtype=torch.bool), before.axes)
    assert np.array_equal(after.points[:100], before.points)
    assert np.abs(after.points).max() <= 1
    assert np.abs(after.points[100]).max() == 1


@pytest.mark.parametrize(("n", "dim"), [(0, 3), (1, 3), (4, 1), (2, 2)])
def test_catalogues_without_extent(n: int, dim: int) -> None:
    found = CatalogueMap.of(torch.ones(5, dim), torch.arange(5) < n)
    assert found.points.shape == (n, 2)
    assert np.isfinite(found.points).all()
    assert np.allclose(found.points, 0, atol=1e-6)
