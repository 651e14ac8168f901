"""A source whose states are whitened once instead of at each step."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from iisan.models.whitening import Whitening
from iisan.states.sources import ItemStates, ModalityShape, ReadsAhead, StateSource, is_resident, prefetching

logger = logging.getLogger(__name__)

# Whitened fp32 states of the catalogue are kept in memory up to this many bytes.
BUDGET = 2 << 30
CHUNK = 4096


class WhitenedSource:
    """Whitened hidden states by catalogue row.

    Where the whole catalogue's fit a budget they are computed once and kept; else each batch is whitened as it is read.

    Args:
        source: The states as the encoders gave them.
        whitening: The map of each modality that has one; the others are served as they are.
        device: Where the states are wanted.
        budget: Bytes that may be kept.
    """

    def __init__(
        self,
        source: StateSource,
        whitening: Mapping[str, Whitening],
        device: torch.device | str = "cpu",
        budget: int = BUDGET,
    ) -> None:
        self._source = source
        self._whitening = whitening
        shapes = source.modalities.values()
        size = sum(4 * source.n_items * shape.n_taps * shape.width for shape in shapes)
        self._kept: dict[str, _Kept] | None = None
        if size <= budget:
            self._kept = {name: _Kept(source, name, self._whitened, torch.device(device)) for name in self.modalities}
        logger.info("whitened states: %.1f MB, %s", size / 1e6, "kept" if self._kept else "computed batch by batch")

    @property
    def modalities(self) -> dict[str, ModalityShape]:
        """The modalities served."""
        return self._source.modalities

    @property
    def n_items(self) -> int:
        """``N``, the size of the catalogue."""
        return self._source.n_items

    @property
    def resident(self) -> bool:
        """Whether all states are where they are wanted."""
        return self._kept is not None or is_resident(self._source)

    def gather(self, rows: Tensor) -> dict[str, ItemStates]:
        """Whitened states of catalogue `rows` ``[n]``."""
        if self._kept is not None:
            return {name: kept.gather(rows) for name, kept in self._kept.items()}
        return {name: self._whitened(name, states) for name, states in self._source.gather(rows).items()}

    def expect(self, rows: Tensor) -> None:
        """Tells the source, if it is still read from, what will be asked for soon."""
        if self._kept is None and isinstance(self._source, ReadsAhead):
            self._source.expect(rows)

    @property
    def prefetches(self) -> bool:
        """Whether what is expected is fetched by a thread."""
        return self._kept is None and prefetching(self._source) is not None

    def forget(self) -> None:
        """Ends that thread."""
        fetching = prefetching(self._source)
        if fetching is not None:
            fetching.forget()

    def _whitened(self, name: str, states: ItemStates) -> ItemStates:
        return self._whitening[name](states) if name in self._whitening else states


class _Kept:
    """The whitened states of one modality: ``[N, T_var, D]``, and constant taps ``[1, D]`` apart."""

    def __init__(
        self, source: StateSource, name: str, whiten: Callable[[str, ItemStates], ItemStates], device: torch.device
    ) -> None:
        self._taps: list[Tensor] = []
        self._available: Tensor | None = None
        self._whitened = False
        self._fill(source, name, whiten, device)

    @torch.no_grad()
    def _fill(
        self, source: StateSource, name: str, whiten: Callable[[str, ItemStates], ItemStates], device: torch.device
    ) -> None:
        n = source.n_items
        for rows in torch.split(torch.arange(n), CHUNK):
            states = whiten(name, source.gather(rows)[name])
            if not self._taps:
                self._whitened = states.whitened
                self._taps = [self._room(tap, n, len(rows), device) for tap in states.taps]
            for kept, tap in zip(self._taps, states.taps, strict=True):
                kept[rows.to(device) if len(kept) == n else slice(None)] = tap.to(device)
            if states.available is not None:
                if self._available is None:
                    self._available = torch.ones(n, dtype=torch.bool, device=device)
                self._available[rows.to(device)] = states.available.to(device)

    @staticmethod
    def _room(tap: Tensor, n: int, rows: int, device: torch.device) -> Tensor:
        """Room for a tap of the whole catalogue; one row where it came as one for several items."""
        return torch.empty(1 if len(tap) == 1 < rows else n, tap.shape[1], device=device)

    def gather(self, rows: Tensor) -> ItemStates:
        rows = rows.to(self._taps[0].device)
        taps = [tap if len(tap) == 1 else tap[rows] for tap in self._taps]
        return ItemStates(taps, None if self._available is None else self._available[rows], self._whitened)
