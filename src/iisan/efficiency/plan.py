"""What a training run will take, predicted before it starts, as plain data."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from iisan.efficiency.measurement import TunedShare
from iisan.efficiency.memory_meter import MemoryKind

# Of the memory that is free, so much is left to what a calibration of a few steps cannot see.
MARGIN = 0.1


class _Plain(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Calibration(_Plain):
    """A few steps that were really run, in a process of their own."""

    batch_size: int = Field(ge=1)
    windows: int = Field(ge=1, description="Histories of an epoch")
    step_seconds: list[float] = Field(min_length=1, description="Seconds of a step, the mean of each block of steps")
    peak_memory: int = Field(ge=0, description="Bytes")
    memory_kind: MemoryKind
    available: int | None = Field(description="Bytes that were free before it; None where the system does not tell")
    parameters: TunedShare
    device: str


class Prediction(_Plain):
    """A number that is not known yet."""

    value: float
    how: str = Field(description="How it was obtained")
    error: str = Field(description="How far off it may be")


class CachePlan(_Plain):
    """The stored hidden states of one modality."""

    bytes: int = Field(ge=0, description="Bytes of the states")
    contents: int = Field(ge=0, description="Distinct contents, each of which is stored once")
    taps: int = Field(ge=0, description="Taps that differ from item to item")
    width: int = Field(ge=1)
    dtype: str
    encoded: bool = Field(description="Whether they are there already")
    encoding_seconds: float | None = Field(None, description="Seconds to encode them, where they are not there")


class Plan(_Plain):
    """What a training run will take."""

    method: str
    batch_size: int
    device: str
    steps_per_epoch: int
    caches: dict[str, CachePlan] = Field(description="By modality; the method reads them or not")
    cache_bytes: Prediction
    encoding_seconds: Prediction
    trainable_parameters: Prediction
    parameters: Prediction
    epoch_seconds: Prediction
    peak_memory: Prediction
    memory_kind: MemoryKind
    available_memory: int | None
    fits: bool | None = Field(description="Whether the batch fits; None where free memory is not known")
    largest_batch: Prediction | None = Field(description="The largest batch that fits; None where memory is not known")
    calibrations: list[Calibration]


@dataclass(frozen=True, slots=True)
class MemoryLine:
    """Memory as a linear function of the batch: ``base + slope · batch``."""

    base: float
    slope: float

    @classmethod
    def through(cls, calibrations: Sequence[Calibration]) -> MemoryLine:
        """The line through the smallest and the largest batch that were run; level where noise would make it fall."""
        first, last = calibrations[0], calibrations[-1]
        wider = last.batch_size - first.batch_size
        slope = max(0.0, (last.peak_memory - first.peak_memory) / wider) if wider else 0.0
        return cls(last.peak_memory - slope * last.batch_size, slope)

    def at(self, batch: int) -> float:
        """Bytes at a batch."""
        return self.base + self.slope * batch

    def largest_batch(self, available: int, limit: int) -> int:
        """The largest batch that fits into free memory less the margin, at most `limit`; 0 if none does."""
        room = available * (1 - MARGIN) - self.base
        if room < self.slope:
            return 0
        return limit if self.slope == 0 else min(limit, math.floor(room / self.slope))


def step_seconds(calibrations: Sequence[Calibration], batch: int) -> float:
    """Seconds of a step at a batch, on the line through those that were run.

    Noise is kept from carrying the line away: a larger batch takes at least the time of a smaller one, and at most
    proportionally more.
    """
    first, last = calibrations[0], calibrations[-1]
    low, high = statistics.median(first.step_seconds), statistics.median(last.step_seconds)
    share = batch / last.batch_size
    if first.batch_size == last.batch_size:
        return high * max(1.0, share)
    line = high + (high - low) / (last.batch_size - first.batch_size) * (batch - last.batch_size)
    return min(max(line, high * min(1.0, share)), high * max(1.0, share))
