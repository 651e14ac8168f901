"""States that were computed elsewhere: rows of files, read block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from iisan.errors import UserError
from iisan.states.npy_states import NpyStates
from iisan.states.safetensors_states import SafetensorsStates

# Bytes of states in memory at a time, as they are in the files
BLOCK_BYTES = 64 << 20
SUFFIXES = (".npy", ".safetensors")

Rows = npt.NDArray[np.int64]


class StateFile(Protocol):
    """A file of states ``[n_rows, T, D]``, memory-mapped.

    Attributes:
        path: The file.
        shape: ``(n_rows, T, D)``.
        dtype: Of the numbers, a floating one.
    """

    path: Path
    shape: tuple[int, int, int]
    dtype: torch.dtype

    def read(self, start: int, stop: int) -> Tensor:
        """Rows ``start..stop - 1`` as ``[stop - start, T, D]``."""
        ...


class StateRows:
    """Files of states one after the other, as one sequence of rows.

    Args:
        files: At least one; their ``T`` and ``D`` agree.

    Attributes:
        files: The files.
        n_taps: ``T``.
        width: ``D``.
        dtype: The files' one dtype; float32 where they differ.

    Raises:
        UserError: The files do not agree.
    """

    def __init__(self, files: Sequence[StateFile]) -> None:
        self.files = list(files)
        _, self.n_taps, self.width = files[0].shape
        for file in files:
            if file.shape[1:] != files[0].shape[1:]:
                raise UserError(
                    f"it holds {file.shape[1]} taps of width {file.shape[2]}, "
                    f"the first file {self.n_taps} of width {self.width}",
                    where=str(file.path),
                    how="import states of one encoder at a time",
                )
        dtypes = {file.dtype for file in files}
        self.dtype = dtypes.pop() if len(dtypes) == 1 else torch.float32
        self._starts = np.cumsum([0, *(file.shape[0] for file in files)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def where(self, row: int) -> str:
        """Name a row (from 0) for an error."""
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        return f"{self.files[number].path}, row {row - self._starts[number]} (from 0)"

    def read(self, rows: Rows) -> Tensor:
        """Read some rows.

        Args:
            rows: ``[n]`` ascending.

        Returns:
            ``[n, T, D]``, in `dtype`.
        """
        out = torch.empty(len(rows), self.n_taps, self.width, dtype=self.dtype)
        done = 0
        for file, start, stop in self._runs(rows):
            out[done : done + stop - start] = file.read(start, stop)
            done += stop - start
        return out

    def blocks(self, rows: Rows) -> Iterator[tuple[Rows, Tensor]]:
        """Read many rows in blocks of bounded size.

        Args:
            rows: ``[n]`` ascending.

        Yields:
            Some of the rows, and their states ``[m, T, D]``.
        """
        step = max(1, BLOCK_BYTES // (self.n_taps * self.width * self.dtype.itemsize))
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            yield part, self.read(part)

    def _runs(self, rows: Rows) -> Iterator[tuple[StateFile, int, int]]:
        """Stretches of rows that follow each other in one file."""
        if not len(rows):
            return
        number = np.searchsorted(self._starts, rows, side="right") - 1  # [n], of the file
        cuts = np.flatnonzero((np.diff(rows) != 1) | (np.diff(number) != 0)) + 1
        for run in np.split(np.arange(len(rows)), cuts):
            file, first = number[run[0]], int(rows[run[0]])
            start = first - int(self._starts[file])
            yield self.files[file], start, start + len(run)


def open_states(paths: Sequence[Path], tensors: Sequence[str] = ()) -> StateRows:
    """Open files of states.

    Args:
        paths: ``.npy`` and ``.safetensors`` files, or folders of such, whose files are taken in the order of their
            names.
        tensors: Names of tensors in the safetensors files: one of ``[N, T, D]`` or ``[N, D]``, or several of
            ``[N, D]``, one a tap. Needed where a file holds more than one.

    Raises:
        UserError: A file is missing, damaged, of another kind or shape, or holds no floating numbers.
    """
    files = [file for path in paths for file in _files(path)]
    return StateRows([_open(file, tensors) for file in files])


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and not file.name.endswith(".ids.npy"))
    if not found:
        raise UserError("the folder holds no .npy and no .safetensors file", where=str(path), how="name the files")
    return found


def _open(path: Path, tensors: Sequence[str]) -> StateFile:
    if path.suffix not in SUFFIXES:
        how = "save the states with numpy.save or safetensors"
        raise UserError(f"states come as .npy or .safetensors, not '{path.suffix}'", where=str(path), how=how)
    if path.suffix == ".safetensors":
        return SafetensorsStates(path, tensors)
    if tensors:
        raise UserError("a .npy file has no named tensors", where=str(path), how="leave out --tensor")
    return NpyStates(path)
