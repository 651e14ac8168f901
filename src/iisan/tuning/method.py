"""What every way of tuning an encoder offers."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from torch import nn

from iisan.encoders.encoder import Encoder


class TuningMethod(Protocol):
    """A way of adapting a foundation model by gradients through it.

    Attributes:
        name: How it is called on the command line.
        whole_model_trains: True where the pretrained weights themselves change, so that the model runs with its dropout
            while training; False where they are frozen, and run as in evaluation.
    """

    name: str
    whole_model_trains: bool

    def attach(self, encoder: Encoder) -> None:
        """Changes the encoder's module so that exactly the method's parameters want gradients.

        Raises:
            UserError: The model has nothing that the method could change.
        """
        ...

    def save(self, module: nn.Module, folder: Path) -> None:
        """Writes what the method changed, and no more, into an empty folder."""
        ...

    def load(self, encoder: Encoder, folder: Path) -> None:
        """Puts what :meth:`save` wrote into a freshly loaded encoder.

        Raises:
            UserError: The files are missing, damaged, or of another model.
        """
        ...


def trained_names(module: nn.Module) -> list[str]:
    """Names of the parameters that want gradients, in the module's order."""
    return [name for name, parameter in module.named_parameters() if parameter.requires_grad]
