"""Full fine-tuning: every weight of the foundation model."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from iisan.encoders.encoder import Encoder
from iisan.tuning.changed_weights import load_trained, save_trained
from iisan.tuning.reached import freeze_unreached


class FullTuning:
    """Trains all weights that the encoder's output depends on."""

    name = "full"
    whole_model_trains = True

    def attach(self, encoder: Encoder) -> None:
        """Lets every weight train but those that no tapped state depends on."""
        encoder.module.requires_grad_(True)
        freeze_unreached(encoder)

    def save(self, module: nn.Module, folder: Path) -> None:
        """Writes all trained weights."""
        save_trained(module, folder)

    def load(self, encoder: Encoder, folder: Path) -> None:
        """Puts them back."""
        self.attach(encoder)
        load_trained(encoder.module, folder)
