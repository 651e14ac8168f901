"""Check every byte of a store."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from iisan.errors import UserError
from iisan.states.checksums import checksum_problems
from iisan.states.finite import first_not_finite
from iisan.states.index import StoreIndex, read_index
from iisan.states.manifest import Manifest, ShardRecord, read_manifest
from iisan.states.shard_file import as_tensor, map_shard
from iisan.states.store import read_constant


@dataclass(slots=True)
class VerifyReport:
    """What `verify_store` found.

    Attributes:
        problems: One line each; empty: the store is sound.
        shards: Shards checked.
        rows: Rows of states checked.
        items: Items that have states.
        imported: What a user said made the states, where they were imported.
        unfinished: Whether the last run that wrote the store was interrupted; the next one completes it.
    """

    problems: list[str] = field(default_factory=list)
    shards: int = 0
    rows: int = 0
    items: int = 0
    imported: str | None = None
    unfinished: bool = False

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.problems


def verify_store(path: Path | str) -> VerifyReport:
    """Compare every checksum, shape and index entry of a store, and look for numbers that are not finite.

    Damage is reported, not raised.

    Args:
        path: The store's folder.

    Returns:
        The problems and what was checked.

    Raises:
        UserError: There is no store, or its manifest cannot be read.
    """
    folder = Path(path)
    manifest = read_manifest(folder)
    report = VerifyReport(imported=manifest.imported, unfinished=manifest.unfinished)
    report.problems += checksum_problems(folder, manifest)
    try:
        read_constant(folder, manifest)
    except UserError as error:
        report.problems.append(str(error))
    index = StoreIndex()
    for shard in manifest.shards:
        _verify_shard(folder, manifest, shard, index, report)
    report.items = len(index.live)
    return report


def _verify_shard(
    folder: Path, manifest: Manifest, shard: ShardRecord, index: StoreIndex, report: VerifyReport
) -> None:
    report.shards += 1
    report.rows += shard.rows
    try:
        _verify_states(folder, manifest, shard, report)
        entries = read_index(folder / shard.index.file)
    except UserError as error:
        report.problems.append(str(error))
        return
    ids = [entry.item_id for entry in entries]
    if len(set(ids)) < len(ids):
        twice = next(item for k, item in enumerate(ids) if item in ids[:k])
        report.problems.append(f"{shard.index.file}: item '{twice}' occurs twice")
    outside = [entry.row for entry in entries if not -1 <= entry.row < report.rows]
    if outside:
        report.problems.append(f"{shard.index.file}: row {outside[0]} does not exist")
    index.add(entries)


def _verify_states(folder: Path, manifest: Manifest, shard: ShardRecord, report: VerifyReport) -> None:
    shape = (shard.rows, len(manifest.varying_taps), manifest.width)
    states = as_tensor(map_shard(folder / shard.states.file, manifest.dtype, shape), manifest.dtype)
    bad = first_not_finite(states)
    if bad is not None:
        row, column = bad
        tap = manifest.varying_taps[column]
        report.problems.append(f"{shard.states.file}: a number of row {row}, tap {tap}, is not finite")
