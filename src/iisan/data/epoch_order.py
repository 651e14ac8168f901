"""The order in which an epoch visits its examples: a pure function of seed and epoch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from iisan.data.interactions import Rows
from iisan.errors import UserError


@dataclass(frozen=True)
class EpochOrder:
    """Shuffled batches of the positions ``0..n-1``; the same seed and epoch give the same batches anywhere.

    Attributes:
        n: Number of examples.
        batch_size: Examples of a batch; the last one of an epoch may be shorter.
        seed: Seed, 0 or more.
    """

    n: int
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            UserError: A number is negative, or the batch is empty.
        """
        if self.batch_size < 1 or self.n < 0 or self.seed < 0:
            raise UserError(
                f"batch size {self.batch_size}, {self.n} examples and seed {self.seed} make no epoch",
                how="use a batch size of 1 or more and a seed of 0 or more",
            )

    @property
    def n_batches(self) -> int:
        """Batches of an epoch."""
        return -(-self.n // self.batch_size)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Rows]:
        """Yield the batches of an epoch.

        Args:
            epoch: Number of the epoch, 0 or more.
            start: First batch to yield, so that an interrupted epoch goes on where it stopped.

        Yields:
            Positions ``[batch_size]``, int64.
        """
        order = np.random.default_rng([self.seed, epoch]).permutation(self.n)
        for step in range(start, self.n_batches):
            yield order[step * self.batch_size : (step + 1) * self.batch_size]


def with_next(batches: Iterable[Rows]) -> Iterator[tuple[Rows, Rows | None]]:
    """Yield each batch together with the one after it; None after the last."""
    last: Rows | None = None
    for batch in batches:
        if last is not None:
            yield last, batch
        last = batch
    if last is not None:
        yield last, None
