"""Examine a dataset folder, sound or not, and go on after each fault."""

from __future__ import annotations

from pathlib import Path

from iisan.data.doctor.catalogue import examine_catalogue
from iisan.data.doctor.content import examine_content
from iisan.data.doctor.duplicates import examine_duplicates
from iisan.data.doctor.ids import examine_ids
from iisan.data.doctor.log_rows import examine_log
from iisan.data.doctor.options import DoctorOptions
from iisan.data.doctor.pictures import examine_pictures
from iisan.data.doctor.repeats import examine_repeats
from iisan.data.doctor.report import DoctorReport
from iisan.data.doctor.split_checks import examine_split
from iisan.data.doctor.tables import examine_tables, open_folder
from iisan.data.doctor.times import examine_times
from iisan.data.manifest import read_manifest
from iisan.data.media import Progress

# Tables, items, log, split; pictures report on their own.
STAGES = 4


def examine(path: Path | str, options: DoctorOptions | None = None, progress: Progress | None = None) -> DoctorReport:
    """Look for what would make training fail or go wrong, and for what is to be known of the data.

    A fault is a finding and not an error: the checks go on with what can be read. Nothing is written.

    Args:
        path: A dataset folder.
        options: What to look for.
        progress: Called as ``(done, total, label)``.

    Raises:
        UserError: The folder is no dataset, or its manifest cannot be read.
    """
    options = options or DoctorOptions()
    folder, found = open_folder(Path(path), read_manifest(Path(path)))
    found += examine_tables(folder)
    _report(progress, 1)
    found += [*examine_ids(folder), *examine_content(folder)]
    _report(progress, 2)
    pictures, digests = examine_pictures(folder, options, progress)
    found += [*pictures, *examine_duplicates(folder, digests)]
    rows, log = examine_log(folder)
    found += rows
    _report(progress, 3)
    if log is not None:
        found += [*examine_times(folder, log), *examine_repeats(folder, log), *examine_catalogue(folder, log)]
        found += examine_split(folder, log, options)
    _report(progress, STAGES)
    return DoctorReport(folder, options, tuple(found), digests)


def _report(progress: Progress | None, done: int) -> None:
    if progress is not None:
        progress(done, STAGES, "checks")
