"""Read a hidden-state store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from iisan.errors import UserError
from iisan.states.index import StoreIndex, read_index
from iisan.states.manifest import Manifest, read_manifest
from iisan.states.shard_file import NUMPY_DTYPES, TORCH_DTYPES, as_tensor, map_shard

CONSTANT_KEY = "constant"


class HiddenStateStore:
    """The hidden states of items in one modality, memory-mapped.

    It shows what was committed when it was opened: a writer that appends meanwhile does not disturb it.

    Attributes:
        path: The store's folder.
        manifest: What is in it.
        index: Which item is where.
        constant: ``[T_const, D]`` fp32, the taps that are one vector for every item.
    """

    def __init__(self, path: Path, manifest: Manifest, index: StoreIndex, constant: Tensor) -> None:
        self.path = path
        self.manifest = manifest
        self.index = index
        self.constant = constant
        shape = (len(manifest.varying_taps), manifest.width)
        self._shards = [map_shard(path / s.states.file, manifest.dtype, (s.rows, *shape)) for s in manifest.shards]
        self._starts = np.cumsum([0, *(shard.rows for shard in manifest.shards)])

    @classmethod
    def open(cls, path: Path | str) -> HiddenStateStore:
        """Open a store.

        Checksums are not compared here (see `verify_store`), sizes and shapes are.

        Raises:
            UserError: There is no store, or it is damaged.
        """
        folder = Path(path)
        manifest = read_manifest(folder)
        index = StoreIndex()
        for shard in manifest.shards:
            index.add(read_index(folder / shard.index.file))
        return cls(folder, manifest, index, read_constant(folder, manifest))

    @property
    def item_ids(self) -> list[str]:
        """The items that have states, in the order in which they first came."""
        return list(self.index.live)

    @property
    def taps(self) -> list[int]:
        """All tapped hidden states, increasing."""
        return self.manifest.taps

    @property
    def constant_taps(self) -> list[int]:
        """The taps in `constant`."""
        return self.manifest.constant_taps

    @property
    def varying_taps(self) -> list[int]:
        """The taps that `gather` returns."""
        return self.manifest.varying_taps

    @property
    def width(self) -> int:
        """``D``."""
        return self.manifest.width

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of what `gather` returns."""
        return TORCH_DTYPES[self.manifest.dtype]

    def __len__(self) -> int:
        return len(self.index.live)

    def rows_of(self, item_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Row of each item's latest states.

        Args:
            item_ids: ``n`` ids.

        Returns:
            ``[n]`` rows for `gather`; -1 where the store has no states of the item.
        """
        return self.index.rows_of(item_ids)

    def gather(self, rows: npt.NDArray[np.int64] | Tensor) -> Tensor:
        """Read states.

        Args:
            rows: ``[n]`` int64 rows as of `rows_of`, without -1; in any order, repeats allowed.

        Returns:
            ``[n, T_var, D]`` in the store's dtype, on the CPU, in the order of `rows`.

        Raises:
            IndexError: A row is negative or beyond the last one.
        """
        wanted = np.asarray(rows.cpu() if isinstance(rows, Tensor) else rows, dtype=np.int64)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= self._starts[-1]):
            raise IndexError(f"rows must be in 0..{self._starts[-1] - 1}, not {wanted.min()}..{wanted.max()}")
        shape = (len(wanted), len(self.varying_taps), self.width)
        out = np.empty(shape, NUMPY_DTYPES[self.manifest.dtype])
        shard_of = np.searchsorted(self._starts, wanted, side="right") - 1  # [n]
        for shard in np.unique(shard_of):
            members = np.flatnonzero(shard_of == shard)
            out[members] = self._shards[shard][wanted[members] - self._starts[shard]]
        return as_tensor(out, self.manifest.dtype)


def read_constant(folder: Path, manifest: Manifest) -> Tensor:
    """The constant taps of a store, ``[T_const, D]`` fp32.

    Raises:
        UserError: The file is absent or not what the manifest says.
    """
    shape = (len(manifest.constant_taps), manifest.width)
    if manifest.constant is None:
        return torch.zeros(shape)
    path = folder / manifest.constant.file
    try:
        constant = load_file(path)[CONSTANT_KEY]
    except (OSError, SafetensorError, KeyError) as error:
        raise UserError(f"the constant taps cannot be read ({error})", where=str(path), how="encode anew") from error
    if tuple(constant.shape) != shape or constant.dtype != torch.float32:
        raise UserError(
            f"the constant taps are {constant.dtype} {list(constant.shape)}", where=str(path), how="encode anew"
        )
    return constant
