"""What a recommender is made of, as plain data that goes into its ``config.json``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Towers = Literal["both", "intra", "inter"]


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModalityConfig(_Config):
    """The side of one modality: what its encoder gives and how wide its tower is."""

    n_taps: int = Field(ge=1, description="Number of tapped hidden states")
    width: int = Field(ge=1, description="Hidden width of the encoder")
    bottleneck: int = Field(64, ge=1, description="Inner width of the tower's blocks")
    head_width: int | None = Field(None, ge=1, description="Width between the head's two layers; None for one layer")


class SideNetworkConfig(_Config):
    """IISAN: towers of side adapted network blocks beside the frozen encoders."""

    kind: Literal["iisan"] = "iisan"
    modalities: dict[str, ModalityConfig] = Field(min_length=1)
    towers: Towers = "both"
    inter_bottleneck: int = Field(64, ge=1)
    inter_head_width: int | None = Field(None, ge=1)
    activation: Literal["relu", "gelu"] = "relu"
    gate_temperature: float = Field(0.1, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    dim: int = Field(64, ge=1, description="Item embedding width")


class FrozenConfig(_Config):
    """The frozen baseline: a linear head on the last hidden state of each encoder."""

    kind: Literal["frozen"] = "frozen"
    widths: dict[str, int] = Field(min_length=1, description="Hidden width of each modality's encoder")
    dim: int = Field(64, ge=1, description="Item embedding width")


class ItemIdConfig(_Config):
    """The yardstick without content: one learned vector an item."""

    kind: Literal["id"] = "id"
    n_items: int = Field(ge=1)
    dim: int = Field(64, ge=1, description="Item embedding width")


ItemEncoderConfig = Annotated[SideNetworkConfig | FrozenConfig | ItemIdConfig, Field(discriminator="kind")]


class SasrecConfig(_Config):
    """The sequence encoder (contract point 8)."""

    dim: int = Field(64, ge=1, description="Item embedding width")
    max_length: int = Field(10, ge=1, description="Longest history that it sees")
    n_layers: int = Field(2, ge=1)
    n_heads: int = Field(2, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_divide_dim(self) -> SasrecConfig:
        if self.dim % self.n_heads:
            raise ValueError(f"dim ({self.dim}) is not a multiple of n_heads ({self.n_heads})")
        return self


class WhiteningConfig(_Config):
    """The shape of one modality's whitening."""

    n_taps: int = Field(ge=1)
    width: int = Field(ge=1)


class RecommenderConfig(_Config):
    """The whole model."""

    item_encoder: ItemEncoderConfig
    sequence_encoder: SasrecConfig
    own_items: int | None = Field(None, ge=1, description="Items that have a learned vector of their own, if any")
    own_dropout: float = Field(0.0, ge=0, lt=1, description="How often an item's own vector is left out in training")
    whitening: dict[str, WhiteningConfig] = Field({}, description="Modalities whose states are whitened")
    similarity: Literal["dot", "cosine"] = Field("dot", description="How user states and items are compared")
    temperature: float = Field(0.07, gt=0, description="Start of the cosine's learned temperature")
