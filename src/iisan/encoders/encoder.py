"""What every encoder offers, whatever it reads."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from iisan.encoders.config import EncoderConfig

Batch = dict[str, Tensor]


class Encoder(Protocol):
    """A frozen foundation model: media in, one vector per tapped hidden state out.

    Attributes:
        config: What it was loaded with.
        identity: JSON-able; two encoders with equal identities give the same vectors up to the arithmetic's precision.
        width: ``D``, width of the hidden states.
        taps: Indices of the tapped hidden states, increasing.
        n_states: How many hidden states the model has, the embedding output included.
        module: The foundation model; in eval mode, without gradients.
        device: Where `module` is.
    """

    config: EncoderConfig
    identity: dict[str, Any]
    width: int
    taps: tuple[int, ...]
    n_states: int
    module: nn.Module
    device: torch.device

    def prepare(self, contents: Sequence[Any]) -> Batch:
        """Tokenise or decode some contents into one batch on the CPU."""
        ...

    def forward_taps(self, batch: Batch) -> Tensor:
        """Tapped and pooled hidden states ``[n, T, D]`` of a batch, on `device`; records gradients where enabled."""
        ...

    def encode(self, contents: Sequence[Any], on_batch: Callable[[int], None] | None = None) -> Tensor:
        """Tapped and pooled hidden states ``[n, T, D]`` of any number of contents: fp32, on the CPU, no gradient.

        Args:
            contents: Texts or pictures.
            on_batch: Called after each forward pass with the number of contents done by it.
        """
        ...

    def probe_contents(self) -> tuple[Any, Any]:
        """Two contents with nothing in common."""
        ...


@runtime_checkable
class EncodesParts(Protocol):
    """What an encoder may offer besides, so that its preparation never stands still between two parts."""

    def encode_parts(
        self, parts: Sequence[Sequence[Any]], on_batch: Callable[[int], None] | None = None
    ) -> Generator[Tensor, None, None]:
        """The states ``[n, T, D]`` of one part after the other, each as `Encoder.encode` gives them."""
        ...
