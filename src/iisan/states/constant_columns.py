"""Which taps are one vector in every row, found while the rows go by."""

from __future__ import annotations

import torch
from torch import Tensor

from iisan.errors import UserError


class ConstantColumns:
    """The taps that every row seen so far has in common, exactly.

    Args:
        vectors: Vector ``[D]`` by column, of taps that must be constant; ``None``: whatever the rows show.
    """

    def __init__(self, vectors: dict[int, Tensor] | None = None) -> None:
        self._given = vectors is not None
        self._vectors = vectors

    def narrow(self, states: Tensor) -> tuple[int, int] | None:
        """Look at more rows ``[n, T, D]``.

        Returns:
            Row and column of the first vector that differs from what must be constant; ``None`` where all is well.
        """
        if not len(states):
            return None
        if self._vectors is None:
            self._vectors = {column: states[0, column].clone() for column in range(states.shape[1])}
        for column, vector in list(self._vectors.items()):
            same = (states[:, column] == vector).all(dim=1)  # [n]
            if bool(same.all()):
                continue
            if self._given:
                return int((~same).nonzero()[0]), column
            del self._vectors[column]
        return None

    def found(self, taps: tuple[int, ...], n_rows: int) -> tuple[tuple[int, ...], Tensor | None]:
        """The constant taps and their vectors ``[T_const, D]``, fp32.

        Args:
            taps: The tap of each column.
            n_rows: How many rows were seen; of one alone nothing can be told.

        Raises:
            UserError: Every tap is constant, so that the states tell no item from another.
        """
        vectors = self._vectors or {}
        if not vectors or (n_rows < 2 and not self._given):
            return (), None
        if len(vectors) == len(taps):
            raise UserError(
                "all states are the same", where="item states", how="check how they were computed, and their pooling"
            )
        columns = sorted(vectors)
        return tuple(taps[column] for column in columns), torch.stack([vectors[column].float() for column in columns])
