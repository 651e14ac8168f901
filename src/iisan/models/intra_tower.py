"""The intra-modal tower: SANBs beside the layers of one encoder (paper section 3.2, contract point 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from iisan.models.gate import LayerGate
from iisan.models.sanb import SANB, Activation, sanbs
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

    def forward(self, taps: Sequence[Tensor]) -> Tensor:
        """Runs the tower.

        Args:
            taps: ``T`` tensors, each ``[n, D]``, or ``[1, D]`` where a tap is the same for every item: the blocks run
                on one row for as long as nothing else has entered.

        Returns:
            The last block's output, ``[n, D]`` (``[1, D]`` if all taps are constant).
        """
        return run_gated(sanbs(self.blocks), taps, self.gate())


def run_intra_towers(towers: Mapping[str, IntraTower], taps: Mapping[str, Sequence[Tensor]]) -> dict[str, Tensor]:
    """What each tower gives for its taps; those of one shape run side by side.

    Args:
        towers: By modality.
        taps: As :class:`IntraTower` takes them, by modality.

    Returns:
        The last block's output of each, in the order of `towers`.
    """
    alike: dict[object, list[str]] = {}
    for name, tower in towers.items():
        block = sanbs(tower.blocks)[0]
        inner = (block.down.out_features, block.activation, block.dropout, block.training)
        alike.setdefault((inner, *(tap.shape for tap in taps[name])), []).append(name)
    hidden: dict[str, Tensor] = {}
    for names in alike.values():
        group = [towers[name] for name in names]
        outputs = run_gated_towers(
            [sanbs(tower.blocks) for tower in group], [taps[name] for name in names], [tower.gate() for tower in group]
        )
        hidden |= zip(names, outputs, strict=True)
    return {name: hidden[name] for name in towers}
