"""Activations computed anew in the backward pass instead of kept (Chen et al., 2016)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from iisan.encoders.encoder import Encoder
from iisan.tuning.transformer_blocks import block_names


def checkpoint_blocks(encoder: Encoder) -> None:
    """Makes every block of an encoder keep its input only; the rest is computed again when gradients are.

    The library's own switch works in training mode alone, and frozen encoders run as in evaluation.

    Raises:
        UserError: The model is not built of Transformer blocks.
    """
    names = block_names(encoder)
    config: Any = encoder.module.config
    if getattr(config, "use_cache", False):
        # A block that runs twice would put its keys and values into the cache twice.
        config.use_cache = False
    for name in names:
        block = encoder.module.get_submodule(name)
        block.forward = partial(_recomputed, block.forward)


def _recomputed(forward: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs, **options)
    return checkpoint(forward, *inputs, use_reentrant=False, **options)
