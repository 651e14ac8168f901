"""Files that hold only the weights that a method trained."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from iisan.errors import UserError
from iisan.states.tensor_file import save_tensors
from iisan.tuning.method import trained_names

WEIGHTS = "trained.safetensors"


def save_trained(module: nn.Module, folder: Path) -> None:
    """Writes the parameters that want gradients to ``trained.safetensors``."""
    parameters = dict(module.named_parameters())
    tensors = {name: parameters[name].detach() for name in trained_names(module)}
    save_tensors(tensors, folder / WEIGHTS, {"format": "pt"})


@torch.no_grad()
def load_trained(module: nn.Module, folder: Path) -> None:
    """Puts what :func:`save_trained` wrote into a module whose parameters want gradients where they did then.

    Raises:
        UserError: The file is missing or damaged, or holds other parameters.
    """
    path = folder / WEIGHTS
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"the tuned weights cannot be read ({error})", where=str(path), how="copy the model's folder again, whole"
        ) from error
    parameters = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    fits = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    if fits != {name: tuple(tensor.shape) for name, tensor in tensors.items()}:
        raise UserError(
            "the tuned weights are those of another model or method", where=str(path), how="use the encoder they are of"
        )
    for name, parameter in parameters.items():
        parameter.copy_(tensors[name])
