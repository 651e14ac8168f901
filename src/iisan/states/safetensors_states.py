"""States in a safetensors file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from iisan.errors import UserError
from iisan.states.state_shape import as_taps

DTYPES = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}


class SafetensorsStates:
    """A `StateFile` over tensors of float16, bfloat16, float32 or float64.

    Args:
        path: The file.
        names: One tensor ``[N, T, D]`` or ``[N, D]``, or several ``[N, D]``, one a tap; by default the only one.

    Raises:
        UserError: The file is missing or damaged, or a tensor is not there or something else.
    """

    def __init__(self, path: Path, names: Sequence[str] = ()) -> None:
        self.path = path
        try:
            file: Any = safe_open(path, framework="pt")
            there = sorted(file.keys())
            chosen = self._chosen(names, there)
            self._slices = [file.get_slice(name) for name in chosen]
        except FileNotFoundError:
            raise UserError("no such file", where=str(path), how="name a .safetensors file") from None
        except (OSError, SafetensorError) as error:
            raise UserError(f"no readable safetensors ({error})", where=str(path), how="write it anew") from error
        dtypes = {name: part.get_dtype() for name, part in zip(chosen, self._slices, strict=True)}
        for name, dtype in dtypes.items():
            if dtype not in DTYPES or dtype != dtypes[chosen[0]]:
                how = "save the states as float16, bfloat16, float32 or float64, all taps alike"
                raise UserError(f"the numbers are {dtype}", where=f"{path}, tensor '{name}'", how=how)
        self.dtype = DTYPES[dtypes[chosen[0]]]
        self.shape = self._common_shape(chosen)

    def read(self, start: int, stop: int) -> Tensor:
        """Rows ``start..stop - 1`` as ``[stop - start, T, D]``."""
        parts = [part[start:stop] for part in self._slices]
        states: Tensor = parts[0] if len(parts) == 1 else torch.stack(parts, dim=1)
        return states.view(stop - start, *self.shape[1:])

    def _chosen(self, names: Sequence[str], there: list[str]) -> list[str]:
        listed = ", ".join(there[:10]) or "none"
        if not names and len(there) != 1:
            how = "name one with --tensor, or one for each tap"
            raise UserError(f"{len(there)} tensors are in it ({listed})", where=str(self.path), how=how)
        for name in names:
            if name not in there:
                raise UserError(f"no tensor '{name}'", where=str(self.path), how=f"there are: {listed}")
        return list(names) or there

    def _common_shape(self, names: Sequence[str]) -> tuple[int, int, int]:
        shapes = [tuple(part.get_shape()) for part in self._slices]
        if len(shapes) == 1:
            return as_taps(shapes[0], str(self.path))
        for name, shape in zip(names, shapes, strict=True):
            if len(shape) != 2 or shape != shapes[0]:
                how = "of several tensors each is one tap, [items, width], all alike"
                raise UserError(f"its shape is {list(shape)}", where=f"{self.path}, tensor '{name}'", how=how)
        n, _, width = as_taps(shapes[0], str(self.path))
        return n, len(shapes), width
