"""The run folder: what a training run was, so that it can be continued, compared and repeated."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
import yaml
from filelock import FileLock, Timeout

import iisan
from iisan.errors import UserError

CONFIG = "config.yaml"
RUN = "run.json"
MODEL = "model"


@contextmanager
def run_folder(folder: Path, config: dict[str, Any], facts: dict[str, Any], *, overwrite: bool) -> Iterator[Path]:
    """Opens a run folder for one process, new or to be continued.

    Args:
        folder: The folder.
        config: The resolved configuration; a folder with another one is not continued.
        facts: What else to write down: dataset fingerprint, encoders.
        overwrite: Remove what is there and start again.

    Raises:
        UserError: Another process trains there, or the folder holds something else.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.parent / f".{folder.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError("another process is training here", where=str(folder), how="name another run folder") from error
    try:
        if overwrite and folder.exists():
            _refuse_foreign(folder)
            shutil.rmtree(folder)
        if folder.exists() and any(folder.iterdir()):
            _refuse_foreign(folder)
            _refuse_other_config(folder, config)
        else:
            folder.mkdir(exist_ok=True)
            _write(folder / CONFIG, yaml.safe_dump(config, sort_keys=False))
        _write(folder / RUN, json.dumps({**facts, "versions": versions()}, indent=2) + "\n")
        yield folder
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


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


def _refuse_foreign(folder: Path) -> None:
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / CONFIG).is_file()):
        raise UserError("this is something else than a run", where=str(folder), how="name another run folder")


def _refuse_other_config(folder: Path, config: dict[str, Any]) -> None:
    before = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    differing = sorted(key for key in {*before, *config} if before.get(key) != config.get(key))
    if differing:
        raise UserError(
            f"the run there was started with another {', '.join(differing)}",
            where=str(folder),
            how="name another run folder, or start it again with --overwrite",
        )


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
