"""A catalogue on a plane: the two directions in which its item embeddings differ most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

# Points that a page can draw and a person can tell apart.
MOST_POINTS = 5_000
# Items in memory in double precision at a time.
BLOCK = 1 << 16

Points = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class MapAxes:
    """Where items lie: principal components (Pearson 1901), scaled by one number so that distances keep their ratio.

    Attributes:
        mean: ``[d]`` fp64.
        axes: ``[d, 2]`` fp64, orthonormal; the largest entry of each is positive, so that two starts agree.
        scale: What the farthest coordinate is divided by.
        shares: Share of the variance along each axis.
    """

    mean: Tensor
    axes: Tensor
    scale: float
    shares: tuple[float, float]

    @classmethod
    def of(cls, embeddings: Tensor, rows: Tensor) -> MapAxes:
        """The axes of some rows of ``[N, d]`` embeddings; all zero where there are none."""
        dim = embeddings.shape[1]
        total, products = torch.zeros(dim, dtype=torch.float64), torch.zeros(dim, dim, dtype=torch.float64)
        count = max(len(rows), 1)
        for part in torch.split(rows, BLOCK):
            total += embeddings[part].double().cpu().sum(dim=0)
        mean = total / count
        for part in torch.split(rows, BLOCK):
            centred = embeddings[part].double().cpu() - mean
            products += centred.T @ centred
        values, vectors = torch.linalg.eigh(products / count)  # ascending
        axes = torch.zeros(dim, 2, dtype=torch.float64)
        width = min(2, dim)
        axes[:, :width] = vectors.flip(1)[:, :width]
        signs = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True)).sign()
        axes *= torch.where(signs == 0, 1.0, signs)
        farthest = max(
            (
                float(((embeddings[part].double().cpu() - mean) @ axes).abs().max())
                for part in torch.split(rows, BLOCK)
                if len(part)
            ),
            default=0.0,
        )
        variance = max(float(values.clamp_min(0).sum()), 1e-300)
        first, second = ([*values.flip(0).clamp_min(0).tolist(), 0.0])[:2]
        return cls(mean, axes, farthest or 1.0, (first / variance, second / variance))

    def project(self, embeddings: Tensor) -> Points:
        """Points ``[n, 2]`` in [-1, 1] of embeddings ``[n, d]``; what lies farther out is put on the edge."""
        points = ((embeddings.double().cpu() - self.mean) @ self.axes / self.scale).clamp(-1, 1)
        return points.float().numpy()


@dataclass(frozen=True, eq=False)
class CatalogueMap:
    """Points of the items of a catalogue, or of an even sample of a long one.

    Attributes:
        rows: ``[n]`` catalogue rows.
        points: ``[n, 2]`` fp32 in [-1, 1].
        axes: Where other items lie.
        n_items: Items that the sample is of.
    """

    rows: Rows
    points: Points
    axes: MapAxes
    n_items: int

    @classmethod
    def of(cls, embeddings: Tensor, shown: Tensor, axes: MapAxes | None = None) -> CatalogueMap:
        """The map of a catalogue.

        Args:
            embeddings: ``[N, d]``.
            shown: ``[N]`` bool, items that have a place on it.
            axes: Those of an earlier map of the same embeddings, so that points stay where they were.
        """
        rows = shown.cpu().nonzero().flatten()
        axes = axes or MapAxes.of(embeddings, rows)
        sample = rows
        if len(rows) > MOST_POINTS:
            sample = rows[torch.linspace(0, len(rows) - 1, MOST_POINTS, dtype=torch.float64).round().long()]
        return cls(sample.numpy(), axes.project(embeddings[sample]), axes, len(rows))
