"""What a store of some dtype makes of an encoder's states, for who computes them anew."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from iisan.encoders.constant_taps import find_constant_taps
from iisan.encoders.encoder import Encoder
from iisan.states.manifest import StoreDtype
from iisan.states.shard_file import TORCH_DTYPES


class StoreRounding:
    """Rounds the taps of one encoder; constant ones stay as they are, as a store keeps them in full.

    Args:
        encoder: The encoder, which is asked twice for what is constant.
        dtype: Of the store.
    """

    def __init__(self, encoder: Encoder, dtype: StoreDtype) -> None:
        constant, _ = find_constant_taps(encoder)
        self._columns = [k for k, tap in enumerate(encoder.taps) if tap not in constant]
        self._dtype = TORCH_DTYPES[dtype]

    def __call__(self, states: Tensor) -> Tensor:
        """Rounds states ``[n, T, D]``."""
        rounded = states.clone()
        rounded[:, self._columns] = states[:, self._columns].to(self._dtype).float()
        return rounded


def store_roundings(encoders: Mapping[str, Encoder], dtypes: Mapping[str, StoreDtype]) -> dict[str, StoreRounding]:
    """The rounding of each modality's store; none where it is in float32.

    Args:
        encoders: By modality.
        dtypes: Dtype of the stores of some of the modalities.
    """
    return {name: StoreRounding(encoders[name], dtype) for name, dtype in dtypes.items() if dtype != "float32"}
