"""Whether states belong into a store that is there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from iisan.errors import UserError
from iisan.states.manifest import Manifest, StoreDtype
from iisan.states.store import read_constant

# Two devices or arithmetics may round a constant tap differently by this share of its largest entry, no more
CONSTANT_TOLERANCE = 2e-2


@dataclass(frozen=True, slots=True)
class StoreSpec:
    """What a store is to hold.

    Attributes:
        encoder: Identity of the encoder.
        dtype: Dtype on disk.
        taps: All tapped hidden states, increasing.
        width: ``D``.
        constant_taps: Those of `taps` that are one vector for every item.
        constant: Their vectors ``[T_const, D]`` fp32; ``None`` without constant taps.
    """

    encoder: dict[str, Any]
    dtype: StoreDtype
    taps: tuple[int, ...]
    width: int
    constant_taps: tuple[int, ...] = ()
    constant: Tensor | None = None


def refuse_other_states(folder: Path, manifest: Manifest, spec: StoreSpec) -> None:
    """Check that a store may take states.

    Args:
        folder: The store's.
        manifest: What it holds.
        spec: What it is to take.

    Raises:
        UserError: They were made otherwise: elsewhere instead of here, by another encoder, with other taps or in
            another dtype.
    """
    _refuse_other_origin(folder, manifest, spec)
    differences = _differences(manifest.encoder, spec.encoder)
    for field in ("dtype", "taps", "constant_taps", "width"):
        before, now = getattr(manifest, field), getattr(spec, field)
        if before != (list(now) if isinstance(now, tuple) else now):
            differences.append(f"{field} is {before} in the store and {now} now")
    if differences:
        raise UserError(
            f"the store was made differently: {'; '.join(differences)}",
            where=str(folder),
            how="use another folder, or the encoder that made the store",
        )
    if spec.constant is not None and spec.constant_taps:
        _refuse_other_constant(folder, read_constant(folder, manifest), spec.constant)


def _refuse_other_origin(folder: Path, manifest: Manifest, spec: StoreSpec) -> None:
    imports = spec.encoder.get("imported") is True
    if imports == (manifest.imported is not None):
        return
    there = "states that an encoder made here" if imports else f"states that were imported (of '{manifest.imported}')"
    raise UserError(f"the store holds {there}", where=str(folder), how="name another folder for these")


def _refuse_other_constant(folder: Path, before: Tensor, now: Tensor) -> None:
    tolerance = CONSTANT_TOLERANCE * float(before.abs().max())
    if not torch.allclose(before, now.float(), rtol=0.0, atol=tolerance):
        raise UserError(
            "the encoder's constant taps are not those of the store",
            where=str(folder),
            how="use another folder, or the encoder that made the store",
        )


def _differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "encoder") -> list[str]:
    found = []
    for key in sorted({*old, *new}):
        before, now = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(now, dict):
            found += _differences(before, now, f"{prefix} {key}")
        elif before != now:
            found.append(f"{prefix} {key} is {before} in the store and {now} now")
    return found
