"""A stand-in for a foundation model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from iisan.encoders.config import EncoderConfig

N_TAPS, WIDTH = 3, 32


class RandomEncoder:
    """Seeded random states, made in no time, so that what is measured is all around it."""

    def __init__(self) -> None:
        self.config = EncoderConfig(model="random", kind="text", pooling="mean", device="cpu")
        self.identity: dict[str, Any] = {"model": "random"}
        self.width, self.taps, self.n_states = WIDTH, tuple(range(N_TAPS)), N_TAPS
        self.module: nn.Module = nn.Identity()
        self.device = torch.device("cpu")
        self._generator = torch.Generator().manual_seed(0)

    def prepare(self, contents: Sequence[Any]) -> dict[str, Tensor]:
        """The number of contents is all that counts."""
        return {"rows": torch.arange(len(contents))}

    def forward_taps(self, batch: dict[str, Tensor]) -> Tensor:
        """States ``[n, T, D]``."""
        return torch.randn(len(batch["rows"]), N_TAPS, WIDTH, generator=self._generator)

    def encode(self, contents: Sequence[Any], on_batch: Callable[[int], None] | None = None) -> Tensor:
        """States ``[n, T, D]``."""
        states = self.forward_taps(self.prepare(contents))
        if on_batch is not None:
            on_batch(len(contents))
        return states

    def probe_contents(self) -> tuple[Any, Any]:
        """Two contents; no tap is constant."""
        return "one", "other"
