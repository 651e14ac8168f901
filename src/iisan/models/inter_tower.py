"""The inter-modal tower: SANBs that see all modalities at once (paper section 3.2, contract points 5 and 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from iisan.models.dtl import DTL
from iisan.models.gate import ModalityGate, shares_of_available
from iisan.models.sanb import SANB, Activation, sanbs
from iisan.models.tower_pass import run_shared


class InterTower(nn.Module):
    """``h_k = SANB_k(h_{k−1} + Σ_m s_{k,m} · tap_{k,m})``, with ``h_{−1} = 0`` and shares ``s`` that sum to 1.

    Encoders of unequal depth line up at their last taps; where widths differ, a :class:`DTL` brings each wider one to
    the narrowest (IISAN-Versa).

    Args:
        shapes: For each modality ``(n_taps, width)``; the order is that of the gates, the last one's scalar being 0.
        bottleneck: Inner width of the blocks.
        activation: Activation of the blocks.
        dropout: Dropout inside the blocks.
        temperature: Temperature of the gates.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, int]],
        bottleneck: int,
        activation: Activation,
        dropout: float,
        temperature: float,
    ) -> None:
        super().__init__()
        self.n_blocks = min(n_taps for n_taps, _ in shapes.values())
        self.width = min(width for _, width in shapes.values())
        self.blocks = nn.ModuleList(SANB(self.width, bottleneck, activation, dropout) for _ in range(self.n_blocks))
        self.gate = ModalityGate(self.n_blocks, len(shapes), temperature)
        self.dtl = nn.ModuleDict(
            {name: DTL(self.n_blocks, width, self.width) for name, (_, width) in shapes.items() if width != self.width}
        )

    def forward(self, taps: Mapping[str, Sequence[Tensor]], available: Mapping[str, Tensor | None]) -> Tensor:
        """Runs the tower.

        Args:
            taps: For each modality its ``T_m`` taps, each ``[n, D_m]`` or ``[1, D_m]``.
            available: For each modality a boolean ``[n]``, or None where every item has it.

        Returns:
            The last block's output, ``[n, D]`` with ``D`` the narrowest width.
        """
        columns = [self._aligned(name, modality_taps) for name, modality_taps in taps.items()]
        rows = list(zip(*columns, strict=True))  # [K][M]
        shares = shares_of_available(self.gate(), list(available.values()))
        return run_shared(sanbs(self.blocks), rows, shares)

    def _aligned(self, name: str, taps: Sequence[Tensor]) -> list[Tensor]:
        last = list(taps)[-self.n_blocks :]
        return self.dtl[name](last) if name in self.dtl else last
