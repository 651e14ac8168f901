"""Checks of pictures: each file once, several at a time."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from iisan.data.checksum import sha256_of_file
from iisan.data.doctor.finding import Finding, Severity, finding
from iisan.data.doctor.folder import Folder, codes_of
from iisan.data.doctor.options import DoctorOptions
from iisan.data.interactions import Rows
from iisan.data.manifest import MEDIA_FILE, MEDIA_FOLDER
from iisan.data.media import Progress
from iisan.data.media_paths import BadMediaError, locate_media
from iisan.data.pictures import check_picture

# Files handed to the threads at a time: bounds what waits, and how long an interruption takes.
BATCH = 512

# A fault of a file: its check, what is said of the items that have it, and what to do.
FAULTS: dict[str, tuple[str, str, str]] = {
    "missing_file": ("missing_pictures", "have a picture whose file is not there", "restore the files"),
    "unsafe_path": (
        "unsafe_pictures",
        "have a picture that is not a plain path inside media/",
        "import the data again; a path must not lead out of the folder",
    ),
    "empty": ("empty_pictures", "have a picture file of 0 bytes", "restore the files"),
    "too_large": (
        "oversized_pictures",
        "have a picture of too many pixels or bytes",
        "make them smaller, or raise max_pixels or max_media_bytes",
    ),
    "unreadable": ("unreadable_pictures", "have a picture that cannot be read", "replace the files or convert them"),
    "changed": (
        "changed_pictures",
        "have a picture that is not the one imported (by size; with check_media=full by SHA-256)",
        "restore the files, or import the data again",
    ),
    "unlisted": ("unlisted_pictures", f"have a picture that {MEDIA_FILE} does not list", "import the data again"),
}
SEVERITY: Severity = "error"


@dataclass(frozen=True)
class PictureState:
    """What is known of one file: its fault (a key of `FAULTS`) and how it shows, and its SHA-256."""

    fault: str | None
    detail: str
    sha256: str | None


@dataclass(frozen=True)
class _Listed:
    """A path of the items table, with size and SHA-256 as media.parquet lists them."""

    reference: str
    size: int | None
    sha256: str | None


def examine_pictures(
    folder: Folder, options: DoctorOptions, progress: Progress | None = None
) -> tuple[list[Finding], dict[str, pa.ChunkedArray]]:
    """Look at every picture file.

    Args:
        folder: The dataset.
        options: Limits, and how closely to look.
        progress: Called as ``(done, total, label)``.

    Returns:
        Findings, and the SHA-256 of each item's picture ``[N]`` by image modality: of the file where it was read in
        full, else as listed; null where there is none.
    """
    found: list[Finding] = []
    digests: dict[str, pa.ChunkedArray] = {}
    for name, (kind, column) in folder.modalities.items():
        if kind != "image":
            continue
        codes, references = codes_of(column)
        states = list(_states(folder, references, options, progress, name))
        found += _findings(folder, name, codes, states)
        sha256 = pa.array([state.sha256 for state in states], pa.string())
        digests[name] = pa.chunked_array([sha256.take(pa.array(codes, mask=codes < 0))])
    return found, digests


def _states(
    folder: Folder, references: pa.Array, options: DoctorOptions, progress: Progress | None, label: str
) -> Iterator[PictureState]:
    sizes, digests = _listing(folder, references)
    # Pillow's own warning is silenced by a switch that is not safe among threads; held here, it comes back as it was.
    with warnings.catch_warnings(), ThreadPoolExecutor(max_workers=min(8, 2 * (os.cpu_count() or 1))) as pool:
        for start in range(0, len(references), BATCH):
            parts = (part.slice(start, BATCH).to_pylist() for part in (references, sizes, digests))
            batch = [_Listed(*one) for one in zip(*parts, strict=True)]
            yield from pool.map(lambda one: _examine(folder.path, one, options), batch)
            if progress is not None:
                progress(start + len(batch), len(references), f"{label} files")


def _listing(folder: Folder, references: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Size and SHA-256 of each path in media.parquet; null where it is not listed."""
    paths, digests = folder.text_column(MEDIA_FILE, "path"), folder.text_column(MEDIA_FILE, "sha256")
    sizes = folder.column(MEDIA_FILE, "size")
    if paths is None or digests is None:
        return pa.nulls(len(references), pa.int64()), pa.nulls(len(references), pa.string())
    at = pc.index_in(references, value_set=paths.combine_chunks())
    if sizes is None or not pa.types.is_integer(sizes.type):
        sizes = pa.chunked_array([pa.nulls(len(paths), pa.int64())])
    return sizes.combine_chunks().take(at), digests.combine_chunks().take(at)


def _examine(root: Path, listed: _Listed, options: DoctorOptions) -> PictureState:
    try:
        path = _sound(root, listed.reference, options)
        size = path.stat().st_size
        sha256 = sha256_of_file(path) if options.check_media == "full" else listed.sha256
    except BadMediaError as bad:
        fault = bad.reason if bad.reason in FAULTS else "unsafe_path"
        return PictureState(fault, str(bad).replace(f"{root}{os.sep}", ""), listed.sha256)
    except OSError as error:
        return PictureState("unreadable", f"{listed.reference}: {error.strerror}", listed.sha256)
    if listed.sha256 is None:
        return PictureState("unlisted", listed.reference, sha256)
    if sha256 != listed.sha256 or (listed.size is not None and size != listed.size):
        return PictureState("changed", listed.reference, sha256)
    return PictureState(None, "", sha256)


def _sound(root: Path, reference: str, options: DoctorOptions) -> Path:
    """The file of a reference, found to be a picture.

    Raises:
        BadMediaError: It is none.
    """
    path = locate_media(root, reference)
    if not path.is_relative_to(root / MEDIA_FOLDER):
        raise BadMediaError("unsafe_path", f"{reference!r} is outside {MEDIA_FOLDER}/", "")
    size = path.stat().st_size
    if size == 0:
        raise BadMediaError("empty", reference, "")
    if size > options.max_media_bytes:
        raise BadMediaError("too_large", f"{reference} has {size:,} bytes", "")
    check_picture(path, options.check_media, options.max_pixels)
    return path


def _findings(folder: Folder, name: str, codes: Rows, states: list[PictureState]) -> Iterator[Finding]:
    total = int((codes >= 0).sum())
    for fault, (check, what, how) in FAULTS.items():
        # A listing that cannot be read is a finding already, and not one of each picture.
        possible = fault != "unlisted" or MEDIA_FILE in folder.tables
        bad = np.array([possible and state.fault == fault for state in states], dtype=bool)
        # -1, no picture, takes the last place, which is no fault.
        rows = np.flatnonzero(np.append(bad, False)[codes])
        yield finding(
            check,
            SEVERITY,
            len(rows),
            total,
            "items",
            what,
            how=how,
            about=name,
            examples=(
                f"{item}: {states[codes[row]].detail}" for item, row in zip(folder.items_at(rows), rows, strict=True)
            ),
        )
