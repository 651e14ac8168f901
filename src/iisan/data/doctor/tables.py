"""Checks of the tables as files: there, readable, unchanged, with the columns and rows that the manifest names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from iisan.data.checksum import sha256_of_file
from iisan.data.doctor.finding import Finding, finding
from iisan.data.doctor.folder import Folder, blank_to_null
from iisan.data.manifest import (
    INTERACTIONS_FILE,
    ITEMS_FILE,
    MEDIA_FILE,
    TABLE_FILES,
    USERS_FILE,
    DatasetManifest,
)

AGAIN = "import the data again"


def open_folder(path: Path, manifest: DatasetManifest) -> tuple[Folder, list[Finding]]:
    """Read the tables that can be read.

    Returns:
        The folder, and findings about its files.
    """
    tables: dict[str, pa.Table] = {}
    missing, unreadable, changed = [], [], []
    for name in TABLE_FILES:
        if not (path / name).is_file():
            missing.append(name)
            continue
        try:
            if sha256_of_file(path / name) != manifest.sha256.get(name):
                changed.append(name)
            table = pq.read_table(path / name)
            table.validate(full=True)
            tables[name] = table
        except (OSError, UnicodeError, pa.ArrowException) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            unreadable.append(f"{name}: {reason}")
    n = len(TABLE_FILES)
    findings = [
        finding("missing_tables", "error", len(missing), n, "tables", "missing", how=AGAIN, examples=missing),
        finding(
            "unreadable_tables",
            "error",
            len(unreadable),
            n,
            "tables",
            "cannot be read",
            how="restore them from a backup, or import the data again",
            examples=unreadable,
        ),
        finding(
            "changed_tables",
            "error",
            len(changed),
            n,
            "tables",
            "are not as the import wrote them (by their SHA-256)",
            how="change the source and import it again: nothing here vouches for a table changed by hand or by a disk",
            examples=changed,
        ),
    ]
    return Folder(path.resolve(), manifest, tables), findings


def examine_tables(folder: Folder) -> list[Finding]:
    """Compare columns and counts with the manifest."""
    wanted = list(_expected_columns(folder))
    wrong = [
        problem for table, name, fits, kind in wanted if (problem := _column_problem(folder, table, name, fits, kind))
    ]
    counts = list(_counts(folder))
    differing = [f"{what}: {here:,}, {said:,} in the manifest" for what, here, said in counts if here != said]
    return [
        finding(
            "columns",
            "error",
            len(wrong),
            len(wanted),
            "columns",
            "missing, double or of a wrong type",
            how=AGAIN,
            examples=wrong,
        ),
        finding(
            "counts",
            "error",
            len(differing),
            len(counts),
            "counts",
            "differ from the manifest's",
            how=AGAIN,
            examples=differing,
        ),
    ]


Fits = Callable[[pa.DataType], bool]


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _expected_columns(folder: Folder) -> Iterator[tuple[str, str, Fits, str]]:
    manifest = folder.manifest
    for name in ("item_id", "title", *manifest.modalities, *manifest.attributes):
        yield ITEMS_FILE, name, pa.types.is_string, "text"
    yield USERS_FILE, "user_id", pa.types.is_string, "text"
    for name in ("user", "item"):
        yield INTERACTIONS_FILE, name, pa.types.is_integer, "integers"
    if INTERACTIONS_FILE in folder.tables:
        for name in dict.fromkeys(folder.tables[INTERACTIONS_FILE].column_names):
            if name not in ("user", "item"):
                yield INTERACTIONS_FILE, name, _is_number, "numbers"
    for name in ("path", "sha256"):
        yield MEDIA_FILE, name, pa.types.is_string, "text"
    yield MEDIA_FILE, "size", pa.types.is_integer, "integers"


def _column_problem(folder: Folder, table: str, name: str, fits: Fits, kind: str) -> str | None:
    """What is wrong with a column; nothing where its whole table cannot be read, which is a finding already."""
    if table not in folder.tables:
        return None
    times = folder.tables[table].column_names.count(name)
    if times != 1:
        return f"{table}: column {name!r} is there {times} times"
    its = folder.tables[table].schema.field(name).type
    return None if fits(its) else f"{table}: column {name!r} holds {its}, not {kind}"


def _counts(folder: Folder) -> Iterator[tuple[str, int, int]]:
    """What is counted, how many there are, and how many the manifest says."""
    said = folder.manifest.counts
    for name, number in ((ITEMS_FILE, said.items), (USERS_FILE, said.users), (INTERACTIONS_FILE, said.interactions)):
        if name in folder.tables:
            yield f"rows of {name}", folder.tables[name].num_rows, number
    for name, (_, column) in folder.modalities.items():
        here = len(column) - blank_to_null(column).null_count
        yield f"items with {name}", here, said.present.get(name, 0)
