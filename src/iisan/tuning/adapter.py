"""Adapters: small bottlenecks inside every block (Houlsby et al., ICML 2019)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from iisan.encoders.encoder import Encoder
from iisan.tuning.changed_weights import load_trained, save_trained
from iisan.tuning.transformer_blocks import transformer_blocks, width_of

# Name under which an adapter hangs below the projection that it follows.
CHILD = "adapter"
# Spread of the weights at the start (Houlsby et al., section 3.6).
INITIAL_SPREAD = 1e-2


class Bottleneck(nn.Module):
    """``x + up(gelu(down(x)))``; the identity at the start, since ``up`` begins at zero.

    Args:
        width: ``D`` of what goes in and out.
        inner: Width in between.
    """

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, inner)
        self.up = nn.Linear(inner, width)
        nn.init.normal_(self.down.weight, std=INITIAL_SPREAD)
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """``[..., D]`` to ``[..., D]``."""
        inner = nn.functional.gelu(self.down(hidden))
        return hidden + self.up(inner)  # type: ignore[no-any-return]


class AdapterTuning:
    """A bottleneck after the attention and one after the feed-forward part of every block, before the residual.

    Args:
        inner: Width of the bottlenecks; 64 in the paper.
    """

    name = "adapter"
    whole_model_trains = False

    def __init__(self, inner: int = 64) -> None:
        self.inner = inner

    def attach(self, encoder: Encoder) -> None:
        """Hangs a bottleneck behind the two output projections of every block and freezes all else.

        Raises:
            UserError: The model is not built of Transformer blocks.
        """
        blocks = transformer_blocks(encoder)
        encoder.module.requires_grad_(False)
        for block in blocks:
            for name in (block.attention_output, block.feed_forward_output):
                projection = encoder.module.get_submodule(name)
                weight = next(projection.parameters())
                adapter = Bottleneck(width_of(projection), self.inner).to(weight.device, torch.float32)
                projection.add_module(CHILD, adapter)
                # A hook and not a wrapper: some models (T5) look into their projections.
                projection.register_forward_hook(_through_adapter)

    def save(self, module: nn.Module, folder: Path) -> None:
        """Writes the bottlenecks."""
        save_trained(module, folder)

    def load(self, encoder: Encoder, folder: Path) -> None:
        """Puts them back."""
        self.attach(encoder)
        load_trained(encoder.module, folder)


def _through_adapter(projection: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    adapted: Tensor = projection.get_submodule(CHILD)(output)
    return adapted
