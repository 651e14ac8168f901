"""BitFit: only the biases (Ben Zaken et al., ACL 2022)."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from iisan.encoders.encoder import Encoder
from iisan.errors import UserError
from iisan.tuning.changed_weights import load_trained, save_trained
from iisan.tuning.method import trained_names
from iisan.tuning.reached import freeze_unreached


class BitFit:
    """Trains the biases of all layers, those of normalisation included."""

    name = "bitfit"
    whole_model_trains = False

    def attach(self, encoder: Encoder) -> None:
        """Lets every parameter that is called a bias train.

        Raises:
            UserError: The model has no biases (Llama and its kin).
        """
        for name, parameter in encoder.module.named_parameters():
            parameter.requires_grad_(name.rsplit(".", 1)[-1] == "bias")
        if trained_names(encoder.module):
            freeze_unreached(encoder)
        if not trained_names(encoder.module):
            raise UserError(
                "the model has no biases to train", where=str(encoder.identity.get("model")), how="use lora or adapter"
            )

    def save(self, module: nn.Module, folder: Path) -> None:
        """Writes the biases."""
        save_trained(module, folder)

    def load(self, encoder: Encoder, folder: Path) -> None:
        """Puts them back."""
        self.attach(encoder)
        load_trained(encoder.module, folder)
