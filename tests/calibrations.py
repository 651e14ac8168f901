"""Calibrations as they might come out."""

from __future__ import annotations

from iisan.efficiency.measurement import TunedShare
from iisan.efficiency.plan import Calibration


def calibration(
    batch: int, *, seconds: float = 1.0, peak: int = 0, available: int | None = None, windows: int = 1000
) -> Calibration:
    return Calibration(
        batch_size=batch,
        windows=windows,
        step_seconds=[seconds, seconds, 10 * seconds],
        peak_memory=peak,
        memory_kind="cuda_allocated",
        available=available,
        parameters=TunedShare(trainable=1, total=2),
        device="made up",
    )
