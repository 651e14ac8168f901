"""How the process that adds items loads and runs the encoders."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from iisan.encoders.config import ComputeDtype


class AdderOptions(BaseModel):
    """Where encoders are, and how they compute."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoder: tuple[str, ...] = Field(
        (), description="Where an encoder is now, MODALITY=MODEL; by default where it was when the states were made"
    )
    compute: ComputeDtype = Field("auto", description="Arithmetic of the encoders; auto: bfloat16 on CUDA")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N; that of the encoders of new items")
    threads: int | None = Field(None, ge=1, description="Processor threads of the encoders; by default all but one")
