"""Which weights an encoder's output depends on at all."""

from __future__ import annotations

import torch

from iisan.encoders.encoder import Encoder


def freeze_unreached(encoder: Encoder) -> None:
    """Stops gradients for weights that no tapped state depends on, such as blocks after the last tap.

    They would be counted as trainable, and never change. One backward pass over a probe tells which they are: a weight
    that takes part has a gradient, be it zero.
    """
    module = encoder.module
    wanting = [parameter for parameter in module.parameters() if parameter.requires_grad]
    with torch.enable_grad():
        total = encoder.forward_taps(encoder.prepare([encoder.probe_contents()[0]])).float().sum()
        gradients = torch.autograd.grad(total, wanting, allow_unused=True)
    for parameter, gradient in zip(wanting, gradients, strict=True):
        parameter.requires_grad_(gradient is not None)
