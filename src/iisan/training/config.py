"""How a recommender is trained, as plain data; presets say what the paper did and what we found best."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from iisan.models.config import Towers

Preset = Literal["default", "paper"]

# What the paper's scripts use (contract points 8 to 10 and the hyper-parameters in docs/design.md).
PAPER: dict[str, Any] = {
    "loss": "in_batch",
    "keep_last": 13,
    "catalogue": "interacted",
    "max_length": 10,
    "dim": 64,
    "dropout": 0.1,
    "whiten": "no",
    "similarity": "dot",
    "batch_size": 64,
    "learning_rate": 2e-4,
    "side_learning_rate": 1e-4,
    "optimizer": "adam",
    "weight_decay": 0.0,
    "clip_norm": None,
    "average_decay": None,
    "head_layers": 2,
    "item_ids": False,
    "max_epochs": 100,
    "patience": 10,
    "metric": "HR@10",
}


class TrainConfig(BaseModel):
    """Hyper-parameters of one training run. The defaults are the ``default`` preset (docs/results.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["iisan", "frozen", "id"] = Field(
        "iisan", description="iisan: side networks; frozen: linear head on last hidden states; id: no content"
    )
    modalities: list[str] | None = Field(None, description="Modalities to use; all of the dataset's by default")
    towers: Towers = Field("both", description="Which towers of the side network: both, intra or inter")

    min_interactions: int = Field(5, ge=3, description="Users with fewer interactions are left out")
    keep_last: int | None = Field(None, ge=3, description="Keep only this many last interactions of a user")
    catalogue: Literal["all", "interacted"] = Field(
        "all", description="Rank all items, or only those that occur in what is kept of the log"
    )
    max_length: int = Field(50, ge=1, description="Longest history that the model sees")

    dim: int = Field(128, ge=1, description="Item embedding width d")
    head_layers: Literal[1, 2] = Field(1, description="Linear layers of each tower's head")
    item_ids: bool = Field(
        True, description="With iisan: add a learned vector of each item's own to what its content says"
    )
    item_id_dropout: float = Field(0.5, ge=0, lt=1, description="How often that vector is left out in training")
    bottleneck: int = Field(64, ge=1, description="Inner width of the side network's blocks")
    n_layers: int = Field(2, ge=1, description="Layers of the sequence encoder")
    n_heads: int = Field(2, ge=1, description="Attention heads of the sequence encoder")
    dropout: float = Field(0.3, ge=0, lt=1, description="Dropout of the sequence encoder")
    side_dropout: float = Field(0.0, ge=0, lt=1, description="Dropout inside the side network's blocks")
    activation: Literal["relu", "gelu"] = Field("relu", description="Activation of the side network's blocks")

    whiten: Literal["auto", "yes", "no"] = Field(
        "auto", description="Whiten the hidden states of each tap; auto: where there are 3 items to a dimension"
    )
    similarity: Literal["dot", "cosine"] = Field("cosine", description="How user states and items are compared")
    temperature: float = Field(0.07, gt=0, description="Start of the cosine's learned temperature")

    loss: Literal["in_batch", "full_softmax"] = Field("in_batch", description="Negatives: the batch's items, or all")
    batch_size: int = Field(128, ge=1, description="Histories a step")
    learning_rate: float = Field(1e-3, gt=0, description="Learning rate of everything but the side network")
    side_learning_rate: float = Field(1e-3, gt=0, description="Learning rate of the side network")
    optimizer: Literal["adam", "adamw"] = Field("adamw", description="Optimiser")
    weight_decay: float = Field(0.0, ge=0, description="Weight decay of matrices (never of gates, biases and norms)")
    clip_norm: float | None = Field(5.0, gt=0, description="Gradients are scaled down to this norm, or 'none'")
    average_decay: float | None = Field(
        0.99, gt=0, lt=1, description="Decay of the moving average of the weights that is evaluated and kept, or 'none'"
    )
    max_epochs: int = Field(100, ge=1, description="Epochs at most")
    patience: int = Field(8, ge=1, description="Stop after this many epochs without a better validation metric")
    metric: str = Field(
        "NDCG@10", pattern=r"^(HR|NDCG)@[1-9]\d*$|^MRR$", description="Validation metric to stop and pick by"
    )

    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Arithmetic of the forward pass; auto: bfloat16 on CUDA, else float32"
    )
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    seed: int = Field(0, ge=0, description="Seed of weights, order and dropout")
    encode_chunk: int = Field(2048, ge=1, description="Items a pass through the side network, where all are embedded")
    checkpoint_seconds: float = Field(60.0, gt=0, description="Seconds between checkpoints within an epoch")

    @model_validator(mode="after")
    def _heads_divide_dim(self) -> Self:
        if self.dim % self.n_heads:
            raise ValueError(f"dim ({self.dim}) is not a multiple of n_heads ({self.n_heads})")
        return self

    @classmethod
    def preset(cls, name: Preset, **overrides: Any) -> Self:
        """The configuration of a preset, with some fields set otherwise.

        Args:
            name: ``"default"`` or ``"paper"``.
            **overrides: Fields to set.
        """
        return cls(**{**(PAPER if name == "paper" else {}), **overrides})
