"""Items in the cells of a Voronoi diagram, of which the nearest are searched (FAISS, Johnson et al. 2019)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from iisan.errors import UserError

# About so many times the root of the number of items.
CELLS = 4.0
# Items a cell that the division is learned from, and how often it is mended.
LEARNED_FROM, ROUNDS = 40, 8
SEED = 1

Vectors = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Cells:
    """An inverted file (``IndexIVFFlat``) by inner product, which finds exactly where all cells are searched.

    Args:
        vectors: ``[n, d]`` fp32.
        rows: ``[n]`` catalogue rows, by which they are found.

    Raises:
        UserError: FAISS is not installed.
    """

    def __init__(self, vectors: Vectors, rows: Rows) -> None:
        self._faiss = _faiss()
        self.count = max(1, min(len(rows), round(CELLS * math.sqrt(len(rows)))))
        dim = vectors.shape[1]
        kind = self._faiss.METRIC_INNER_PRODUCT
        self._index = self._faiss.IndexIVFFlat(self._faiss.IndexFlatIP(dim), dim, self.count, kind)
        self._index.cp.seed, self._index.cp.niter = SEED, ROUNDS
        self._index.cp.min_points_per_centroid, self._index.cp.max_points_per_centroid = 1, LEARNED_FROM
        self._index.train(vectors)
        self._index.add_with_ids(vectors, rows)

    def search(self, states: Vectors, k: int, probes: int, allowed: Mask | None) -> tuple[Vectors, Rows]:
        """The best items in the cells nearest to some vectors.

        Args:
            states: ``[B, d]`` fp32.
            k: Places each.
            probes: Cells searched for each.
            allowed: By catalogue row, True for items that may be found; None for all.

        Returns:
            Inner products ``[B, k]``, best first, and catalogue rows ``[B, k]``, -1 where no more were found.
        """
        options: dict[str, Any] = {"nprobe": min(probes, self.count)}
        if allowed is not None:
            bits = np.packbits(allowed, bitorder="little")  # named, since the selector only points to it
            options["sel"] = self._faiss.IDSelectorBitmap(bits)
        parameters = self._faiss.SearchParametersIVF(**options)
        found: tuple[Vectors, Rows] = self._index.search(np.ascontiguousarray(states), k, params=parameters)
        return found

    def with_items(self, vectors: Vectors, rows: Rows, gone: Rows) -> Cells:
        """A copy that has further items in the same division, and lacks others.

        Args:
            vectors: ``[n, d]`` fp32.
            rows: ``[n]`` catalogue rows.
            gone: Catalogue rows that are taken out first.
        """
        twin = object.__new__(Cells)
        twin._faiss, twin.count = self._faiss, self.count
        twin._index = self._faiss.clone_index(self._index)
        if len(gone):
            twin._index.remove_ids(gone)
        if len(rows):
            twin._index.add_with_ids(vectors, rows)
        return twin


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise UserError(
            "an approximate index needs FAISS", how="install it with `pip install 'iisan[serve]'`, or rank exactly"
        ) from error
    return faiss
