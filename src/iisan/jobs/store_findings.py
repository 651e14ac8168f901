"""Checks of the hidden-state stores of a dataset: whole, of its items, and of what these hold now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from iisan.data.checksum import sha256_of_text
from iisan.data.doctor.finding import Finding, finding
from iisan.data.doctor.report import DoctorReport
from iisan.data.manifest import ITEMS_FILE
from iisan.errors import UserError
from iisan.states.manifest import MANIFEST_NAME
from iisan.states.store import HiddenStateStore


def store_findings(report: DoctorReport, folder: Path) -> list[Finding]:
    """Examine the store of each modality; nothing where nothing is encoded yet.

    Args:
        report: What is known of the dataset.
        folder: Holds a store for each modality.
    """
    if not folder.is_dir():
        return []
    found = []
    contents = report.folder.modalities
    states_only = {path.name for path in folder.iterdir() if (path / MANIFEST_NAME).is_file()} - contents.keys()
    for name in (*contents, *sorted(states_only)):
        if (folder / name).is_dir():
            found += list(_store(report, name, folder / name))
        else:
            column = contents[name][1]
            found.append(_missing_store(name, len(column) - column.null_count))
    return found


@dataclass(frozen=True, eq=False)
class _Comparison:
    """A store beside the catalogue.

    Attributes:
        store: The store.
        having: Which items ``[N]`` have content to encode; all of them where the modality exists as states only.
        encoded: Which items ``[N]`` have states.
        stale: Which items ``[N]`` have states of other content than they have now.
        strangers: Items of the store that the catalogue lacks.
    """

    store: HiddenStateStore
    having: npt.NDArray[np.bool_]
    encoded: npt.NDArray[np.bool_]
    stale: npt.NDArray[np.bool_]
    strangers: list[str]

    @property
    def imported(self) -> bool:
        """Whether the states were made elsewhere: what content they are of is not known then."""
        return self.store.manifest.imported is not None

    @property
    def again(self) -> str:
        """How to bring the store up to date."""
        if self.imported:
            return "bring the states of all items with `iisan states import`"
        return "run `iisan encode` again: it encodes what changed or is lacking, and nothing else"


def _store(report: DoctorReport, name: str, path: Path) -> Iterator[Finding]:
    ids = report.folder.text_column(ITEMS_FILE, "item_id")
    try:
        store = HiddenStateStore.open(path)
    except UserError as error:
        yield _unreadable(name, str(error))
        return
    yield _unreadable(name, "")
    if ids is None:
        return
    compared = _compare(report, name, store, [one or "" for one in ids.to_pylist()])
    yield _unfinished(name, compared)
    yield _missing_states(report, name, compared)
    yield _stale_states(report, name, compared)
    yield finding(
        "states_of_unknown_items",
        "warning",
        len(compared.strangers),
        len(store),
        "items",
        "of the store are not in the catalogue; they only take space",
        how="see that the store is this dataset's",
        about=name,
        examples=compared.strangers,
    )


def _compare(report: DoctorReport, name: str, store: HiddenStateStore, ids: list[str]) -> _Comparison:
    hashes = store.hashes_of(ids)
    encoded = np.array([one is not None for one in hashes], dtype=bool)
    having, stale = np.ones(len(ids), dtype=bool), np.zeros(len(ids), dtype=bool)
    if name in report.folder.modalities:
        digests = _digests(report, name)
        having = np.array([digest is not None for digest in digests], dtype=bool)
        if store.manifest.imported is None:
            stale = encoded & np.array([old != now for old, now in zip(hashes, digests, strict=True)], dtype=bool)
    return _Comparison(store, having, encoded, stale, sorted(set(store.item_ids) - set(ids)))


def _digests(report: DoctorReport, name: str) -> list[str | None]:
    """SHA-256 of what each item has in a modality ``[N]``, as a store keeps it; None where it has nothing."""
    if name in report.digests:
        digests: list[str | None] = report.digests[name].to_pylist()
        return digests
    return [None if text is None else sha256_of_text(text) for text in report.folder.modalities[name][1].to_pylist()]


def _unfinished(name: str, compared: _Comparison) -> Finding:
    return finding(
        "unfinished_store",
        "error",
        int(compared.store.manifest.unfinished),
        1,
        "stores",
        "was not written to the end: the last run was interrupted",
        how=compared.again,
        about=name,
    )


def _missing_states(report: DoctorReport, name: str, compared: _Comparison) -> Finding:
    rows = np.flatnonzero(compared.having & ~compared.encoded)
    # Whoever imports states may let some items lack them; encoding never leaves one out.
    tolerable = compared.imported and bool(compared.encoded.any())
    return finding(
        "missing_states",
        "warning" if tolerable else "error",
        len(rows),
        int(compared.having.sum()),
        "items",
        f"have {name} but no hidden states ({_made_by(compared.store)})",
        how=compared.again,
        about=name,
        examples=report.folder.items_at(rows),
    )


def _stale_states(report: DoctorReport, name: str, compared: _Comparison) -> Finding:
    rows = np.flatnonzero(compared.stale)
    what = f"have other {name} now than when they were encoded, or none"
    unknown = f"{what}: not known of imported states"
    return finding(
        "stale_states",
        "error",
        len(rows),
        0 if compared.imported else int(compared.encoded.sum()),
        "items",
        unknown if compared.imported else what,
        how=compared.again,
        about=name,
        examples=report.folder.items_at(rows),
    )


def _made_by(store: HiddenStateStore) -> str:
    """The encoder of a store in a few words."""
    encoder = store.manifest.encoder
    parts = [str(encoder[key]) for key in ("model", "name", "pooling") if encoder.get(key)]
    return ", ".join([*parts, f"taps {','.join(map(str, store.taps))}", store.manifest.dtype])


def _missing_store(name: str, present: int) -> Finding:
    return finding(
        "missing_store",
        "warning",
        present,
        present,
        "items",
        f"have {name}, which is not encoded while other modalities are",
        how="run `iisan encode`, or train with --modalities",
        about=name,
    )


def _unreadable(name: str, reason: str) -> Finding:
    return finding(
        "unreadable_store",
        "error",
        int(bool(reason)),
        1,
        "stores",
        f"cannot be read: {reason}" if reason else "cannot be read",
        how="restore it, or remove it and make it again",
        about=name,
    )
