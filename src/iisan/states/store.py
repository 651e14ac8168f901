"""Read a hidden-state store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from iisan.errors import UserError
from iisan.states.finite import all_finite
from iisan.states.manifest import Manifest, read_manifest
from iisan.states.read_ahead import is_in_memory, read_ahead
from iisan.states.shard_file import TORCH_DTYPES, as_tensor, map_shard
from iisan.states.store_items import StoreItems

CONSTANT_KEY = "constant"
# Rows that are looked at to see whether a gather will have to wait for the disk
PROBES = 8
# Once those of so many gathers one after the other all were in memory, only every so many-th is looked at; an odd
# number, so that it is the turn of what is expected as often as of what is gathered
WARM_AFTER, EVERY_WHEN_WARM = 32, 7


class HiddenStateStore:
    """The hidden states of items in one modality, memory-mapped.

    It shows what was committed when it was opened: a writer that appends meanwhile does not disturb it.

    Attributes:
        path: The store's folder.
        manifest: What is in it.
        items: Which item is where.
        constant: ``[T_const, D]`` fp32, the taps that are one vector for every item.
    """

    def __init__(self, path: Path, manifest: Manifest, items: StoreItems, constant: Tensor) -> None:
        self.path = path
        self.manifest = manifest
        self.items = items
        self.constant = constant
        shape = (len(manifest.varying_taps), manifest.width)
        self._shards = [map_shard(path / s.states.file, manifest.dtype, (s.rows, *shape)) for s in manifest.shards]
        self._tensors = [as_tensor(shard, manifest.dtype) for shard in self._shards]  # the same, [rows, T_var, D]
        self._starts = np.cumsum([0, *(shard.rows for shard in manifest.shards)])
        self._asked = self._in_memory = 0

    @classmethod
    def open(cls, path: Path | str) -> HiddenStateStore:
        """Open a store.

        Checksums are not compared here (see `verify_store`), sizes and shapes are.

        Raises:
            UserError: There is no store, or it is damaged.
        """
        folder = Path(path)
        manifest = read_manifest(folder)
        return cls(folder, manifest, StoreItems.read(folder, manifest), read_constant(folder, manifest))

    @property
    def item_ids(self) -> list[str]:
        """The items that have states, in the order in which they first came."""
        return self.items.ids

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
        return len(self.items)

    def rows_of(self, item_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Row of each item's latest states.

        Args:
            item_ids: ``n`` ids.

        Returns:
            ``[n]`` rows for `gather`; -1 where the store has no states of the item.
        """
        return self.items.rows_of(item_ids)

    def hashes_of(self, item_ids: Sequence[str]) -> list[str | None]:
        """Hash of the content that each item's latest states were made from, None where the store has none."""
        return self.items.hashes_of(item_ids)

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
        out = torch.empty(len(wanted), len(self.varying_taps), self.width, dtype=self.dtype)
        in_order = bool((wanted[1:] >= wanted[:-1]).all())
        order = np.arange(len(wanted)) if in_order else np.argsort(wanted, kind="stable")
        ordered = wanted[order]
        self._read_ahead(ordered)
        for shard, part in self._by_shard(ordered):
            rows_there = torch.from_numpy(ordered[part] - self._starts[shard])
            if in_order:  # as a batch's items are: copied once, straight to their place
                torch.index_select(self._tensors[shard], 0, rows_there, out=out[part])
            else:
                out[torch.from_numpy(order[part])] = self._tensors[shard].index_select(0, rows_there)
        return out

    def expect(self, rows: npt.NDArray[np.int64] | Tensor) -> None:
        """Have states read from the disk that `gather` is about to be asked for, without waiting for them.

        Args:
            rows: ``[n]`` int64 as of `gather`.
        """
        self._read_ahead(np.sort(np.asarray(rows.cpu() if isinstance(rows, Tensor) else rows, dtype=np.int64)))

    def _read_ahead(self, ordered: npt.NDArray[np.int64]) -> None:
        """Ask for all rows at once, unless they seem to be in memory, where asking would only take time."""
        self._asked += 1
        if self._in_memory >= WARM_AFTER and self._asked % EVERY_WHEN_WARM:
            return
        stride = max(1, len(ordered) // PROBES)
        probes = ordered[self._asked % stride :: stride]
        cached = (
            is_in_memory(self._shards[shard], row)
            for shard, part in self._by_shard(probes)
            for row in (probes[part] - self._starts[shard]).tolist()
        )
        if all(cached):
            self._in_memory += 1
            return
        self._in_memory = 0
        for shard, part in self._by_shard(ordered):
            read_ahead(self._shards[shard], ordered[part] - self._starts[shard])

    def _by_shard(self, ordered: npt.NDArray[np.int64]) -> Iterator[tuple[int, slice]]:
        """Each shard that has some of the rows, and which of them."""
        bounds = np.searchsorted(ordered, self._starts)  # [shards + 1], where each one's rows begin
        for shard in np.flatnonzero(np.diff(bounds)).tolist():
            yield shard, slice(int(bounds[shard]), int(bounds[shard + 1]))

    def where(self, row: int) -> str:
        """Name a row of `gather` for an error: its file, its row there, and the items that have it."""
        shard = int(np.searchsorted(self._starts, row, side="right")) - 1
        items = [repr(item) for item in self.items.at_row(row)]
        file = self.path / self.manifest.shards[shard].states.file
        return f"{file}, row {row - self._starts[shard]} (item {' and '.join(items) or 'none any more'})"


def read_constant(folder: Path, manifest: Manifest) -> Tensor:
    """The constant taps of a store, ``[T_const, D]`` fp32.

    Raises:
        UserError: The file is absent or not what the manifest says, or a number is not finite.
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
    if not all_finite(constant):
        raise UserError("the constant taps hold a number that is not finite", where=str(path), how="encode anew")
    return constant
