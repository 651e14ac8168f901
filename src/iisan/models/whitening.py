"""Whitening: each tap with mean zero and, over the catalogue, all directions equally strong.

Hidden states are dominated by a few directions that all items share; what tells items apart lies in the weak ones. The
map is fixed before training from the catalogue's states alone, so it sees no interaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from iisan.errors import UserError
from iisan.states.sources import ItemStates, StateSource

# No direction is amplified more than by the root of this, relative to the mean variance.
LARGEST_GAIN = 1e3
# Bytes that the matrices of one modality may take: 1 GiB.
LARGEST_MATRIX = 1 << 30


def fits(n_taps: int, width: int) -> bool:
    """Whether the matrices of so many taps of such a width are small enough to be kept."""
    return n_taps * width**2 * 4 <= LARGEST_MATRIX


class Whitening(nn.Module):
    """``(x − mean) · matrix`` for each tap, with the symmetric (ZCA) matrix.

    Args:
        n_taps: ``T``.
        width: ``D``.

    Raises:
        UserError: The matrices would take more than a gibibyte.
    """

    mean: Tensor
    matrix: Tensor

    def __init__(self, n_taps: int, width: int) -> None:
        super().__init__()
        if not fits(n_taps, width):
            raise UserError(
                f"whitening {n_taps} taps of width {width} takes {n_taps * width**2 * 4 / 2**30:.1f} GiB",
                how="encode fewer taps or train with `--whiten no`",
            )
        self.register_buffer("mean", torch.zeros(n_taps, width))
        self.register_buffer("matrix", torch.eye(width).repeat(n_taps, 1, 1))

    def forward(self, states: ItemStates) -> ItemStates:
        """Whitens the taps ``[n, D]`` (or ``[1, D]``), once: states that are whitened already come back as they are."""
        if states.whitened:
            return states
        # In bfloat16 the small differences that whitening brings out would be lost.
        with torch.autocast(self.mean.device.type, enabled=False):
            pairs = zip(states.taps, self.mean, self.matrix, strict=True)
            taps = [(tap - mean) @ matrix for tap, mean, matrix in pairs]
        return replace(states, taps=taps, whitened=True)

    @torch.no_grad()
    def fit(self, source: StateSource, modality: str, chunk: int = 4096, rows: Tensor | None = None) -> None:
        """Sets mean and matrix from those items of a catalogue that have the modality.

        The covariance is shrunk towards a multiple of the identity as Ledoit and Wolf (2004) derive it, so that a small
        catalogue, whose covariance is mostly noise, is whitened little. A constant tap becomes zero.

        Args:
            source: Hidden states by catalogue row.
            modality: Which of them.
            chunk: Items read at once.
            rows: ``[n]`` catalogue rows to go by; all of them by default.
        """
        rows = torch.arange(source.n_items) if rows is None else rows
        moments = _moments(source, modality, torch.split(rows, chunk))
        self.mean.copy_(moments.mean)
        for matrix, covariance, fourth in zip(self.matrix, moments.covariance, moments.fourth, strict=True):
            matrix.copy_(_inverse_root(_shrunk(covariance, float(fourth), moments.n)))


@dataclass(frozen=True)
class _Moments:
    """Mean ``[T, D]``, covariance ``[T, D, D]`` and mean of ``‖x − mean‖⁴`` ``[T]`` over `n` items."""

    mean: Tensor
    covariance: Tensor
    fourth: Tensor
    n: int


def _moments(source: StateSource, modality: str, parts: Sequence[Tensor]) -> _Moments:
    shape = source.modalities[modality]
    total, n = torch.zeros(shape.n_taps, shape.width, dtype=torch.float64), 0
    for taps in _chunks(source, modality, parts):
        total += taps.double().sum(dim=1)
        n += taps.shape[1]
    n = max(n, 1)
    mean = total / n
    covariance = torch.zeros(shape.n_taps, shape.width, shape.width, dtype=torch.float64)
    fourth = torch.zeros(shape.n_taps, dtype=torch.float64)
    for taps in _chunks(source, modality, parts):
        centred = taps - mean.float().unsqueeze(1)
        covariance += centred.transpose(1, 2) @ centred
        fourth += centred.double().square().sum(dim=2).square().sum(dim=1)
    return _Moments(mean, covariance / n, fourth / n, n)


def _chunks(source: StateSource, modality: str, parts: Sequence[Tensor]) -> Iterator[Tensor]:
    """Taps ``[T, n, D]`` on the CPU of the items that have the modality, part by part."""
    for rows in parts:
        states = source.gather(rows)[modality]
        taps = torch.stack([tap.expand(len(rows), -1).cpu() for tap in states.taps])
        yield taps if states.available is None else taps[:, states.available.cpu()]


def _shrunk(covariance: Tensor, fourth: float, n: int) -> Tensor:
    """Ledoit and Wolf's combination of the covariance and a multiple of the identity."""
    width = len(covariance)
    level = covariance.trace() / width
    identity = torch.eye(width, dtype=covariance.dtype)
    distance = (covariance - level * identity).square().sum()
    noise = (fourth - covariance.square().sum()) / max(n, 1)
    share = 0.0 if distance == 0 else float((noise / distance).clamp(0, 1))
    return (1 - share) * covariance + share * level * identity


def _inverse_root(covariance: Tensor) -> Tensor:
    """The symmetric inverse square root, fp32; zero for a covariance of zero."""
    values, vectors = torch.linalg.eigh(covariance)
    level = values.mean()
    if level <= 0:
        return torch.zeros_like(covariance).float()
    root: Tensor = (vectors * values.clamp_min(level / LARGEST_GAIN).rsqrt()) @ vectors.T
    return root.float()
