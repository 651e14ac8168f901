"""States in a ``.npy`` file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from iisan.errors import UserError
from iisan.states.npy_file import map_npy
from iisan.states.state_shape import as_taps

DTYPES = {"float16": torch.float16, "float32": torch.float32, "float64": torch.float64}


class NpyStates:
    """A `StateFile` over an array ``[N, T, D]`` or ``[N, D]`` of float16, float32 or float64.

    Args:
        path: The file.

    Raises:
        UserError: It is missing, damaged, or holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._array = map_npy(path)
        name = self._array.dtype.newbyteorder("=").name
        if name not in DTYPES:
            how = "save the states as float16, float32 or float64; bfloat16 as .safetensors"
            raise UserError(f"the numbers are {self._array.dtype}", where=str(path), how=how)
        self.dtype = DTYPES[name]
        self.shape = as_taps(self._array.shape, str(path))

    def read(self, start: int, stop: int) -> Tensor:
        """Rows ``start..stop - 1`` as ``[stop - start, T, D]``."""
        part = np.array(self._array[start:stop], dtype=self._array.dtype.newbyteorder("="), order="C")
        return torch.from_numpy(part).view(stop - start, *self.shape[1:])
