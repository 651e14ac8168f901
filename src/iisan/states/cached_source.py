"""Hidden states from stores on disk, or loaded from there into memory."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from iisan.errors import UserError
from iisan.states.checksums import require_checksums
from iisan.states.finite import first_not_finite
from iisan.states.sources import ItemStates, ModalityShape
from iisan.states.store import HiddenStateStore

logger = logging.getLogger(__name__)

# With resident="auto", states are loaded into memory when those of all modalities together take at most this
RESIDENT_BUDGET_BYTES = 4 << 30


class CachedSource:
    """A `StateSource` over stores, one a modality.

    Args:
        stores: Store by modality; the order is kept.
        item_ids: The catalogue, ``N`` ids; an item that a store lacks gets zeros there and ``available`` False.
        device: Where `gather` puts its results.
        resident: True: load the catalogue's states once, in the stores' dtype, onto `device`. False: read each batch
            from the memory map. ``"auto"``: True when they fit `budget_bytes`; the choice is logged.
        budget_bytes: For ``"auto"``.

    Raises:
        UserError: States that are loaded do not match their checksum, or hold a number that is not finite.
    """

    def __init__(
        self,
        stores: dict[str, HiddenStateStore],
        item_ids: Sequence[str],
        device: torch.device | str = "cpu",
        resident: Literal["auto"] | bool = "auto",
        budget_bytes: int = RESIDENT_BUDGET_BYTES,
    ) -> None:
        self.device = torch.device(device)
        self._n_items = len(item_ids)
        rows = {name: torch.from_numpy(store.rows_of(item_ids)) for name, store in stores.items()}  # [N] each
        size = sum(_bytes_of(store, rows[name]) for name, store in stores.items())
        self.resident = size <= budget_bytes if resident == "auto" else resident
        logger.info(
            "hidden states of %s: %.1f MB, %s",
            ", ".join(stores) or "no modality",
            size / 1e6,
            f"loaded to {self.device}" if self.resident else "read from disk by batch",
        )
        make = _ResidentModality if self.resident else _MappedModality
        self._modalities: dict[str, _ResidentModality | _MappedModality] = {
            name: make(store, rows[name], self.device) for name, store in stores.items()
        }
        self._shapes = {name: ModalityShape(len(store.taps), store.width) for name, store in stores.items()}

    @property
    def modalities(self) -> dict[str, ModalityShape]:
        """Shape by modality."""
        return dict(self._shapes)

    @property
    def n_items(self) -> int:
        """``N``."""
        return self._n_items

    def gather(self, rows: Tensor) -> dict[str, ItemStates]:
        """States of some items; see `StateSource.gather`."""
        rooms = self._rooms(len(rows))
        return {name: modality.gather(rows, rooms[name]) for name, modality in self._modalities.items()}

    def _rooms(self, n: int) -> dict[str, Tensor]:
        """Where each modality's varying taps of `n` items are put, ``[T_var, n, D]``.

        Modalities of one shape get theirs in one piece: what runs on both can then read both at once.
        """
        alike: dict[tuple[int, int], list[str]] = {}
        for name, modality in self._modalities.items():
            alike.setdefault(modality.layout.varying_shape, []).append(name)
        rooms: dict[str, Tensor] = {}
        for (n_varying, width), names in alike.items():
            rooms |= zip(names, torch.empty(len(names), n_varying, n, width, device=self.device).unbind(), strict=True)
        return rooms

    def expect(self, rows: Tensor) -> None:
        """Has states read from the disk that `gather` is about to be asked for; see `ReadsAhead.expect`."""
        for modality in self._modalities.values():
            if isinstance(modality, _MappedModality):
                modality.expect(rows)


class _ResidentModality:
    def __init__(self, store: HiddenStateStore, rows: Tensor, device: torch.device) -> None:
        used, position = np.unique(rows.numpy(), return_inverse=True)
        absent = int(used.size > 0 and used[0] < 0)  # -1 sorts first
        # All of it is read here anyway, so a changed byte need not stay unnoticed.
        require_checksums(store.path, store.manifest)
        states = store.gather(used[absent:])
        _require_finite(store, states, used[absent:])
        self._states = states.to(device)  # [used, T_var, D]
        self._position = torch.from_numpy(position - absent).to(device)  # [N], -1: absent
        self._complete = not absent
        self.layout = _TapLayout(store, device)

    def gather(self, rows: Tensor, room: Tensor) -> ItemStates:
        position = self._position[rows.to(self._position.device)]  # [n]
        if self._complete:
            return self.layout.spread(self._states.index_select(0, position), None, room)
        available = position >= 0
        if not len(self._states):
            return self.layout.spread(self._states.new_zeros(len(position), *self._states.shape[1:]), available, room)
        return self.layout.spread(self._states.index_select(0, position.clamp(min=0)), available, room)


class _MappedModality:
    def __init__(self, store: HiddenStateStore, rows: Tensor, device: torch.device) -> None:
        self._store = store
        self._rows = rows  # [N], -1: absent
        self._complete = bool((rows >= 0).all())
        self._device = device
        self.layout = _TapLayout(store, device)

    def gather(self, rows: Tensor, room: Tensor) -> ItemStates:
        wanted = self._rows[rows.cpu()]  # [n]
        available = wanted >= 0
        if self._complete:
            return self.layout.spread(self._gather(wanted).to(self._device), None, room)
        found = self._gather(wanted[available])
        states = found.new_zeros(len(wanted), *found.shape[1:])
        states[available] = found
        return self.layout.spread(states.to(self._device), available.to(self._device), room)

    def expect(self, rows: Tensor) -> None:
        wanted = self._rows[rows.cpu()]
        self._store.expect(wanted[wanted >= 0])

    def _gather(self, rows: Tensor) -> Tensor:
        states = self._store.gather(rows)
        _require_finite(self._store, states, rows.numpy())
        return states


class _TapLayout:
    """Puts varying and constant taps into tap order, as fp32."""

    def __init__(self, store: HiddenStateStore, device: torch.device) -> None:
        constant = store.constant.to(device)
        self._constant = {tap: constant[k : k + 1] for k, tap in enumerate(store.constant_taps)}  # [1, D] each
        self._taps = store.taps
        self.varying_shape = len(store.varying_taps), store.width  # [T_var, D]

    def spread(self, states: Tensor, available: Tensor | None, room: Tensor) -> ItemStates:
        """The taps of items with states ``[n, T_var, D]``, those that vary in `room` ``[T_var, n, D]``."""
        by_tap = room.copy_(states.transpose(0, 1))  # one pass: to fp32, and each tap contiguous
        if available is not None:
            by_tap.masked_fill_(~available[None, :, None], 0.0)
        varying = iter(by_tap.unbind(0))
        taps = [self._constant[tap] if tap in self._constant else next(varying) for tap in self._taps]
        return ItemStates(taps=taps, available=available)


def _require_finite(store: HiddenStateStore, states: Tensor, rows: npt.NDArray[np.int64]) -> None:
    """Check what was gathered: NaN in a state would look like a training run that diverged."""
    bad = first_not_finite(states)
    if bad is not None:
        row, column = bad
        raise UserError(
            f"a number of tap {store.varying_taps[column]} is not finite",
            where=store.where(int(rows[row])),
            how="make the store anew (`iisan states verify` names all that is wrong)",
        )


def _bytes_of(store: HiddenStateStore, rows: Tensor) -> int:
    used = int(torch.unique(rows[rows >= 0]).numel())
    return used * len(store.varying_taps) * store.width * store.dtype.itemsize
