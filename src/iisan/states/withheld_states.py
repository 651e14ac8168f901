"""A source some of whose states are not to be used."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from iisan.states.sources import ItemStates, ModalityShape, StateSource


class WithheldStates:
    """What another source gives, but for items that are to lack a modality: zeros and ``available`` False there.

    Args:
        source: The states that there are.
        lacking: ``[N]`` bool by modality, True where an item is to lack it; other modalities stay as they are.
    """

    def __init__(self, source: StateSource, lacking: Mapping[str, Tensor]) -> None:
        self._source = source
        self._lacking = {name: rows for name, rows in lacking.items() if bool(rows.any())}

    @property
    def modalities(self) -> dict[str, ModalityShape]:
        """Shape by modality."""
        return self._source.modalities

    @property
    def n_items(self) -> int:
        """``N``."""
        return self._source.n_items

    def gather(self, rows: Tensor) -> dict[str, ItemStates]:
        """States of some items; see `StateSource.gather`."""
        found = self._source.gather(rows)
        return {name: self._withheld(name, states, rows) for name, states in found.items()}

    def _withheld(self, name: str, states: ItemStates, rows: Tensor) -> ItemStates:
        if name not in self._lacking:
            return states
        lacking = self._lacking[name]
        hidden = lacking[rows.to(lacking.device)].to(states.taps[0].device)  # [n]
        # A tap of one row for all items stays: of an item that lacks the modality it is not read.
        taps = [tap.masked_fill(hidden[:, None], 0.0) if len(tap) == len(hidden) else tap for tap in states.taps]
        return ItemStates(taps, ~hidden if states.available is None else states.available & ~hidden)
