"""TPME: training time, trainable parameters and memory of several methods as one number each (paper section 3.3)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

PAPER_WEIGHTS = (0.45, 0.10, 0.45)
# Weights are written in decimals, which do not add up exactly.
WEIGHT_TOLERANCE = 1e-9

Column = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TpmeInterval:
    """The TPME of one method with its uncertainty.

    Attributes:
        value: TPME of the mean times and memories.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    value: float
    low: float
    high: float


def tpme(
    times: Sequence[float],
    parameters: Sequence[float],
    memories: Sequence[float],
    weights: tuple[float, float, float] = PAPER_WEIGHTS,
) -> list[float]:
    """Training-time, Parameter and GPU Memory Efficiency of the methods compared (contract point 11); lower is better.

    Each quantity is scaled so that the smallest of the methods is 0 and the largest 1, and the three are added by
    weight. So the number of a method depends on what it is compared with. A quantity in which all methods are equal
    (one method alone, for instance) tells none of them apart and counts 0.

    Args:
        times: Training time of each method, in any one unit.
        parameters: Trainable parameters of each method.
        memories: Peak memory of each method, in any one unit.
        weights: Of time, parameters and memory; at least 0 each, 1 in all.

    Returns:
        A number between 0 and 1 for each method, in the same order.

    Raises:
        ValueError: The lengths differ or are 0, a number is negative or not finite, or the weights do not sum to 1.
    """
    columns = _columns(times, parameters, memories)
    check_weights(weights)
    scaled = np.stack([_scaled(column) for column in columns])  # [3, M]
    return [float(value) for value in np.asarray(weights) @ scaled]


def tpme_intervals(
    times: Sequence[Sequence[float]],
    parameters: Sequence[float],
    memories: Sequence[Sequence[float]],
    weights: tuple[float, float, float] = PAPER_WEIGHTS,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> list[TpmeInterval]:
    """TPME with percentile bootstrap intervals over repeated measurements.

    The repeats of each method are drawn anew with replacement, and the TPME of their means taken, `resamples` times.
    A method that was measured once contributes no spread of its own.

    Args:
        times: For each method its repeated training times.
        parameters: Trainable parameters of each method.
        memories: For each method its repeated peak memories.
        weights: As in :func:`tpme`.
        confidence: Share of the resampled values inside the interval.
        resamples: Draws, at least 1.
        seed: Of the draws.

    Raises:
        ValueError: As :func:`tpme`; a method without measurements; `confidence` outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, not between 0 and 1")
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}, not at least 1")
    if not all(len(repeats) for repeats in (*times, *memories)):
        raise ValueError("a method has no measurements")
    values = tpme(_means(times), parameters, _means(memories), weights)
    generator = np.random.default_rng(seed)
    draws = np.array(
        [
            tpme(_resampled_means(times, generator), parameters, _resampled_means(memories, generator), weights)
            for _ in range(resamples)
        ]
    )  # [resamples, M]
    outside = (1 - confidence) / 2
    low, high = np.quantile(draws, [outside, 1 - outside], axis=0)
    return [
        TpmeInterval(value, float(bottom), float(top)) for value, bottom, top in zip(values, low, high, strict=True)
    ]


def _columns(*quantities: Sequence[float]) -> list[Column]:
    columns = [np.asarray(quantity, dtype=np.float64) for quantity in quantities]
    lengths = {column.shape for column in columns}
    if len(lengths) != 1 or not len(columns[0]):
        given = ", ".join(str(len(column)) for column in columns)
        raise ValueError(f"times, parameters and memories need one number a method, but have {given}")
    for name, column in zip(("times", "parameters", "memories"), columns, strict=True):
        if not np.isfinite(column).all() or (column < 0).any():
            raise ValueError(f"{name} holds a number that is negative or not finite")
    return columns


def check_weights(weights: tuple[float, float, float]) -> None:
    """Checks weights of time, parameters and memory.

    Raises:
        ValueError: They are not three numbers of at least 0 that sum to 1.
    """
    if len(weights) != 3 or any(not math.isfinite(weight) or weight < 0 for weight in weights):
        raise ValueError(f"weights are {weights}, not three numbers of at least 0")
    if abs(math.fsum(weights) - 1) > WEIGHT_TOLERANCE:
        raise ValueError(f"weights sum to {math.fsum(weights):g}, not to 1")


def _scaled(column: Column) -> Column:
    """Min-max normalised; all zeros where there is nothing between smallest and largest."""
    spread = column.max() - column.min()
    return np.zeros_like(column) if spread == 0 else (column - column.min()) / spread


def _means(repeats: Sequence[Sequence[float]]) -> list[float]:
    return [float(np.mean(values)) for values in repeats]


def _resampled_means(repeats: Sequence[Sequence[float]], generator: np.random.Generator) -> list[float]:
    return [float(np.mean(generator.choice(np.asarray(values), size=len(values)))) for values in repeats]
