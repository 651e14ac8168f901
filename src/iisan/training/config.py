"""How a recommender is trained, as plain data; presets say what the paper did and what we found best."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from iisan.models.config import Towers

Preset = Literal["default", "paper"]
METHODS = ("iisan", "frozen", "id", "full", "adapter", "lora", "bitfit")

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
    "item_updates": "all",
    "max_epochs": 100,
    "patience": 10,
    "metric": "HR@10",
}
# Where its scripts differ for methods that tune the encoders; encoders' own rates are in `encoder_rates`.
PAPER_TUNED: dict[str, Any] = {"batch_size": 32, "learning_rate": 4e-4}
PAPER_FULL: dict[str, Any] = {"batch_size": 32, "learning_rate": 1e-4}


class TrainConfig(BaseModel):
    """Hyper-parameters of one training run. The defaults are the ``default`` preset (docs/results.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str = Field(
        "iisan",
        description="iisan: side networks; frozen: linear head on last hidden states; id: no content; full, adapter, "
        "lora, bitfit, peft:NAME: the encoders are tuned, with a linear head",
    )
    source: Literal["cached", "live"] = Field(
        "cached", description="With iisan and frozen: hidden states from the stores, or from the encoders at every step"
    )
    adapter_width: int = Field(64, ge=1, description="With adapter: width of the bottlenecks")
    peft_options: list[str] = Field(
        [], description="With lora and peft:NAME: options of the method in peft, each NAME=VALUE"
    )
    gradient_checkpointing: bool = Field(
        False, description="When encoders are tuned: compute activations again instead of keeping them"
    )
    encoder_learning_rate: float | None = Field(
        None, gt=0, description="When encoders are tuned: their learning rate; by default the paper's for the method"
    )
    modalities: list[str] | None = Field(
        None, description="Modalities to use; by default all of the dataset's, and imported ones"
    )
    towers: Towers = Field("both", description="Which towers of the side network: both, intra or inter")

    split: Literal["leave_one_out", "global_time"] = Field(
        "leave_one_out", description="leave_one_out: each user's last items are held out; global_time: all after a time"
    )
    valid_share: float = Field(0.1, gt=0, lt=1, description="With global_time: share of the log for validation")
    test_share: float = Field(0.1, gt=0, lt=1, description="With global_time: share of the log for the test")
    min_interactions: int = Field(5, ge=1, description="Users with fewer interactions are left out")
    keep_last: int | None = Field(None, ge=2, description="Keep only this many last interactions of a user")
    catalogue: Literal["all", "interacted"] = Field(
        "all", description="Rank all items, or only those that occur in what is kept of the log"
    )
    max_length: int = Field(50, ge=1, description="Longest history that the model sees")
    hold_out_items: float = Field(
        0.0, ge=0, lt=1, description="Share of the items that neither training nor validation may see"
    )
    hold_out_seed: int | None = Field(None, ge=0, description="Seed of the choice of those items; by default the seed")

    dim: int = Field(128, ge=1, description="Item embedding width d")
    head_layers: Literal[1, 2] = Field(1, description="Linear layers of each tower's head")
    item_ids: bool = Field(
        True, description="With iisan: add a learned vector of each item's own to what its content says"
    )
    item_id_dropout: float = Field(0.5, ge=0, lt=1, description="How often that vector is left out in training")
    item_updates: Literal["auto", "all", "batch"] = Field(
        "auto",
        description="Whose own vectors a step moves: all items', by Adam's momentum, or its batch's; auto: the batch's "
        "where there are more than 100,000 items, so that a step does not grow with the catalogue",
    )
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

    loss: Literal["in_batch", "full_softmax", "sampled_softmax", "auto"] = Field(
        "in_batch",
        description="Negatives: the batch's items, all items, or items drawn at random; auto: all, or drawn ones where "
        "there are more than 4 times as many items as draws",
    )
    negatives: int = Field(8192, ge=2, description="With the sampled softmax: items drawn for a step")
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
    max_steps: int | None = Field(None, ge=1, description="Steps at most, in all epochs together")
    patience: int = Field(8, ge=1, description="Stop after this many epochs without a better validation metric")
    metric: str = Field(
        "NDCG@10", pattern=r"^(HR|NDCG)@[1-9]\d*$|^MRR$", description="Validation metric to stop and pick by"
    )
    validation_users: int | None = Field(
        None, ge=1, description="Validate on this many users, drawn by the seed; on all by default"
    )

    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Arithmetic of the forward pass; auto: bfloat16 on CUDA, else float32"
    )
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    seed: int = Field(0, ge=0, description="Seed of weights, order and dropout")
    encode_chunk: int = Field(2048, ge=1, description="Items a pass through the side network, where all are embedded")
    checkpoint_seconds: float = Field(60.0, gt=0, description="Seconds between checkpoints within an epoch")

    @field_validator("method")
    @classmethod
    def _known_method(cls, method: str) -> str:
        if method not in METHODS and not re.fullmatch(r"peft:[a-z0-9_]+", method):
            raise ValueError(f"no method {method!r}; there are {', '.join(METHODS)} and peft:NAME")
        return method

    @model_validator(mode="after")
    def _heads_divide_dim(self) -> Self:
        if self.dim % self.n_heads:
            raise ValueError(f"dim ({self.dim}) is not a multiple of n_heads ({self.n_heads})")
        return self

    @model_validator(mode="after")
    def _something_to_train_on(self) -> Self:
        if self.valid_share + self.test_share >= 1:
            raise ValueError(f"valid_share ({self.valid_share}) and test_share ({self.test_share}) leave nothing")
        return self

    @classmethod
    def preset(cls, name: Preset, **overrides: Any) -> Self:
        """The configuration of a preset, with some fields set otherwise.

        Args:
            name: ``"default"`` or ``"paper"``, which has the batch and the learning rate of the method's own script.
            **overrides: Fields to set.
        """
        return cls(**{**(_paper(overrides.get("method", "iisan")) if name == "paper" else {}), **overrides})


def _paper(method: str) -> dict[str, Any]:
    """The paper says nothing of frozen and id: they are trained as IISAN is."""
    if method in ("iisan", "frozen", "id"):
        return PAPER
    return {**PAPER, **(PAPER_FULL if method == "full" else PAPER_TUNED)}
