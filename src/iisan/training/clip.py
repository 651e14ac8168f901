"""Gradients scaled down to a norm, sparse ones too."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


@torch.no_grad()
def clip_gradients(parameters: Iterable[nn.Parameter], max_norm: float) -> None:
    """Does what ``torch.nn.utils.clip_grad_norm_`` does, which refuses sparse gradients.

    Args:
        parameters: Their gradients are scaled together; sparse ones must be coalesced.
        max_norm: Norm that all of them together may have.
    """
    gradients = [_numbers(parameter.grad) for parameter in parameters if parameter.grad is not None]
    total = torch.nn.utils.get_total_norm(gradients)
    torch._foreach_mul_(gradients, (max_norm / (total + 1e-6)).clamp(max=1.0))


def _numbers(gradient: Tensor) -> Tensor:
    return gradient.values() if gradient.is_sparse else gradient
