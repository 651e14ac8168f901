"""A source of random hidden states, for tests that need shapes and not meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from iisan.states.sources import ItemStates, ModalityShape


class RandomSource:
    """Random states in memory.

    Args:
        shapes: ``(n_taps, width)`` by modality.
        n_items: ``N``.
        seed: Of the numbers.
        missing: Rows that lack a modality.
        constant: Taps that are the same for every item.
        scales: Standard deviation of each dimension.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, int]],
        n_items: int,
        seed: int = 0,
        missing: Mapping[str, Sequence[int]] | None = None,
        constant: Mapping[str, Sequence[int]] | None = None,
        scales: Tensor | None = None,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.n_items = n_items
        self.modalities = {name: ModalityShape(*shape) for name, shape in shapes.items()}
        self.states: dict[str, Tensor] = {}
        self.available: dict[str, Tensor | None] = {}
        self.constant = {name: set((constant or {}).get(name, [])) for name in shapes}
        for name, (n_taps, width) in shapes.items():
            states = torch.randn(n_items, n_taps, width, generator=generator) * (1.0 if scales is None else scales)
            for tap in self.constant[name]:
                states[:, tap] = states[0, tap].clone()
            absent = list((missing or {}).get(name, []))
            states[absent] = 0
            self.states[name] = states
            self.available[name] = None
            if absent:
                mask = torch.ones(n_items, dtype=torch.bool)
                mask[absent] = False
                self.available[name] = mask

    def gather(self, rows: Tensor) -> dict[str, ItemStates]:
        gathered = {}
        for name, states in self.states.items():
            taps = [
                states[:1, tap] if tap in self.constant[name] else states[rows, tap] for tap in range(states.shape[1])
            ]
            mask = self.available[name]
            gathered[name] = ItemStates(taps, None if mask is None else mask[rows])
        return gathered
