"""The intra-modal tower: SANBs beside the layers of one encoder (paper section 3.2, contract point 4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Self

from torch import Tensor, nn

from iisan.models.gate import LayerGate
from iisan.models.sanb import SANB, Activation, sanbs
from iisan.models.side_by_side import lay_side_by_side
from iisan.models.tower_pass import run_gated, run_gated_towers


class IntraTower(nn.Module):
    """``h_k = SANB_k(g_k · tap_k + (1 − g_k) · h_{k−1})``, with ``h_{−1} = 0``.

    Args:
        n_taps: Number of taps ``T``, one block each.
        width: Hidden width ``D`` of the encoder.
        bottleneck: Inner width of the blocks.
        activation: Activation of the blocks.
        dropout: Dropout inside the blocks.
        temperature: Temperature of the gates.
    """

    def __init__(
        self, n_taps: int, width: int, bottleneck: int, activation: Activation, dropout: float, temperature: float
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(SANB(width, bottleneck, activation, dropout) for _ in range(n_taps))
        self.gate = LayerGate(n_taps, temperature)

    @property
    def shape(self) -> tuple[int, int]:
        """Blocks and hidden width."""
        return len(self.blocks), sanbs(self.blocks)[0].down.in_features

    @property
    def kind(self) -> tuple[object, ...]:
        """What the blocks of two towers must have in common to run side by side, beside the shapes of their taps."""
        block = sanbs(self.blocks)[0]
        return block.down.out_features, block.activation, block.dropout, block.training

    def forward(self, taps: Sequence[Tensor]) -> Tensor:
        """Runs the tower.

        Args:
            taps: ``T`` tensors, each ``[n, D]``, or ``[1, D]`` where a tap is the same for every item: the blocks run
                on one row for as long as nothing else has entered.

        Returns:
            The last block's output, ``[n, D]`` (``[1, D]`` if all taps are constant).
        """
        return run_gated(sanbs(self.blocks), taps, self.gate())


class IntraTowers(nn.ModuleDict):
    """The intra-modal towers by modality; those of one shape run side by side."""

    def forward(self, taps: Mapping[str, Sequence[Tensor]]) -> dict[str, Tensor]:
        """What each tower gives.

        Args:
            taps: For each tower those that :class:`IntraTower` takes.

        Returns:
            The last block's output of each, in the order of the towers.
        """
        hidden: dict[str, Tensor] = {}
        for names in self._alike({name: tuple(tap.shape for tap in its) for name, its in taps.items()}):
            group = [self._tower(name) for name in names]
            blocks = [sanbs(tower.blocks) for tower in group]
            outputs = run_gated_towers(blocks, [taps[name] for name in names], [tower.gate() for tower in group])
            hidden |= zip(names, outputs, strict=True)
        return {name: hidden[name] for name in self}

    def lay_side_by_side(self) -> None:
        """Puts the weights of towers of one shape into one storage, so that they need not be copied there to run."""
        for names in self._alike({name: self._tower(name).shape for name in self}):
            blocks = [block for name in names for block in sanbs(self._tower(name).blocks)]
            if len(names) > 1:
                for same in zip(*(block.parameters() for block in blocks), strict=True):
                    lay_side_by_side(same)

    def _alike(self, shapes: Mapping[str, object]) -> list[list[str]]:
        """The names of towers that can run side by side, given the shape of each."""
        alike: dict[object, list[str]] = {}
        for name in self:
            alike.setdefault((self._tower(name).kind, shapes[name]), []).append(name)
        return list(alike.values())

    def _tower(self, name: str) -> IntraTower:
        tower = self[name]
        if not isinstance(tower, IntraTower):
            raise TypeError(f"tower {name!r} is no intra-modal tower")
        return tower

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.lay_side_by_side()
        return self
