"""What measuring one method gave, as plain data that goes into its ``measurement.json``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from iisan.efficiency.memory_meter import MemoryKind


class _Plain(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EpochRecord(_Plain):
    """One epoch of training, or what the budget of steps allowed of it."""

    epoch: int = Field(ge=0, description="From 0")
    loss: float
    steps: int = Field(ge=1, description="Steps that were run")
    seconds: float = Field(ge=0, description="Seconds of those steps")
    phases: dict[str, float] = Field(description="Seconds of them by phase: data, forward, backward, update")
    metrics: dict[str, float] = Field(
        description="Validation metrics after it, as fractions of one; empty if not taken"
    )


class TunedShare(_Plain):
    """Sizes of a method's model."""

    trainable: int = Field(ge=0, description="Trainable parameters")
    total: int = Field(ge=0, description="All parameters that a step computes with, frozen encoders included")


class EncodingCost(_Plain):
    """What encoding the catalogue once costs; for methods that train on stored states."""

    seconds: float = Field(ge=0)
    items: int = Field(ge=0)
    measured_items: int = Field(ge=0, description="Items that were timed; fewer than `items`: the seconds are scaled")


class Measurement(_Plain):
    """One method, measured in a process of its own."""

    method: str = Field(description="As on the command line, e.g. 'lora' or 'iisan-uncached'")
    batch_size: int = Field(ge=1)
    steps_per_epoch: int = Field(ge=1, description="Steps of a whole epoch")
    epochs: list[EpochRecord] = Field(min_length=1)
    parameters: TunedShare
    peak_memory: int = Field(ge=0, description="Bytes")
    memory_kind: MemoryKind
    energy: float | None = Field(None, ge=0, description="Joules of the training steps, where the device tells")
    encoding: EncodingCost | None = None
    test_metrics: dict[str, float] = Field(description="Test metrics of the best epoch, as fractions of one")
    best_epoch: int = Field(ge=0)
    gates: dict[str, Any] = Field(default_factory=dict, description="Of IISAN: gate values by tower and layer")
    versions: dict[str, str]
    device: str

    def seconds_per_epoch(self) -> list[float]:
        """Seconds of each epoch; where only some of its steps were run, scaled to all of them."""
        return [record.seconds * self.steps_per_epoch / record.steps for record in self.epochs]


class Failure(_Plain):
    """A method that could not be measured."""

    method: str
    reason: str
    out_of_memory: bool = False


Outcome = Measurement | Failure
Budget = Literal["epochs", "steps"]
