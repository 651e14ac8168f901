"""The run folder: what a training run was, so that it can be continued, compared and repeated."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
import yaml
from filelock import FileLock, Timeout

import iisan
from iisan.errors import UserError, unwritable
from iisan.jobs.output_file import output_file

CONFIG = "config.yaml"
RUN = "run.json"
MODEL = "model"
PLACES = "places"
# Written down for the reader: a run whose data have moved, or that goes on with other versions, is the same run.
NOT_COMPARED = {"versions", PLACES}


@contextmanager
def run_folder(
    folder: Path,
    config: dict[str, Any],
    facts: dict[str, Any],
    *,
    overwrite: bool,
    places: dict[str, dict[str, str]] | None = None,
    defaults: dict[str, Any] | None = None,
) -> Iterator[Path]:
    """Opens a run folder for one process, new or to be continued.

    Args:
        folder: The folder.
        config: The resolved configuration; a folder with another one is not continued.
        facts: What else the run depends on, as plain data: dataset fingerprint, encoders. They must be the same too.
        overwrite: Remove what is there and start again.
        places: Where the inputs are; written down, and free to change.
        defaults: What options stand for that a run of an older version did not write down.

    Raises:
        UserError: Another process trains there, or the folder holds something else.
    """
    folder = folder.absolute()
    with _held(folder):
        before = _run_there(folder)
        if overwrite and before is not None:
            _remove(folder)
        elif before is not None:
            _refuse_other_run(folder, {**(defaults or {}), **before}, json.loads(json.dumps({**facts, **config})))
        _make(folder)
        with output_file(folder / RUN) as draft:
            written = {**facts, PLACES: places or {}, "versions": versions()}
            draft.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
        with output_file(folder / CONFIG) as draft:
            draft.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        yield folder


def versions() -> dict[str, str]:
    """The versions that a result may depend on."""
    return {
        "iisan": iisan.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
        "threads": str(torch.get_num_threads()),
    }


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Holds the folder for one process; the system lets go of it when the process is killed."""
    _make(folder.parent)
    path = folder.with_name(f".{folder.name}.lock")
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError("another process is training here", where=str(folder), how="name another run folder") from None
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        yield
    finally:
        # Removed while still held: a waiter that gets the removed file sees that it has no name and tries again.
        with suppress(OSError):
            path.unlink()
        lock.release()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> UserError:
    return unwritable(folder, error, what="the run folder")


def _remove(folder: Path) -> None:
    # Out of the way first: a kill half-way through leaves nothing that looks like a run or like something foreign.
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    folder.replace(old)
    shutil.rmtree(old, ignore_errors=True)


def _run_there(folder: Path) -> dict[str, Any] | None:
    """Facts and configuration of the run in a folder; None where there is none and one may be started.

    Raises:
        UserError: There is something else, which must neither be continued nor removed.
    """
    if not folder.exists() or (folder.is_dir() and all(path.name.startswith(".") for path in folder.iterdir())):
        return None
    try:
        facts = json.loads((folder / RUN).read_text(encoding="utf-8"))
        known = "iisan" in facts["versions"]
        path = folder / CONFIG
        # A kill between the two files leaves the first alone; such a run is continued from its start.
        config = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
        run = {**facts, **config}
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        known = False
    if not known:
        raise UserError("this is something else than a run", where=str(folder), how="name another run folder")
    return run


def _refuse_other_run(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    differing = sorted(key for key in {*before, *now} - NOT_COMPARED if before.get(key) != now.get(key))
    if (folder / CONFIG).exists() and differing:
        raise UserError(
            f"the run there was started with another {', '.join(differing)}",
            where=str(folder),
            how="name another run folder, or start it again with --overwrite",
        )
