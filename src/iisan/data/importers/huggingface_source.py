"""Opening Hugging Face datasets: saved to a folder, as files in a folder, or from the hub."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iisan.data.importers.huggingface_card import CARD_FILES, check_card, stranger
from iisan.data.importers.huggingface_commit import hub_commit, reason_of
from iisan.data.importers.huggingface_table import HuggingFaceTable
from iisan.data.media_paths import BadMediaError, relative_media_path
from iisan.errors import UserError

logger = logging.getLogger(__name__)

STATE_FILE = "state.json"
SPLITS_FILE = "dataset_dict.json"
# Builders of `datasets` that read tables and pictures and nothing that could run code.
BUILDERS = ("arrow", "cache", "csv", "imagefolder", "json", "parquet", "text")
ALL_SPLITS = "all"


@dataclass(frozen=True)
class HuggingFaceSource:
    """Which dataset, and which part of it.

    Attributes:
        name: A folder or a hub id.
        config: Name of the configuration, or None.
        split: Name of the split, several joined by ``+``, ``all``, or None where there is one only.
        revision: Branch, tag or commit on the hub, or None for ``main``.
    """

    name: str
    config: str | None
    split: str | None
    revision: str | None


@dataclass(frozen=True, eq=False)
class OpenedDataset:
    """An opened dataset.

    Attributes:
        table: The rows of the chosen split.
        roots: Folders that files named by its rows may be in.
        commit: The commit on the hub, or None.
    """

    table: HuggingFaceTable
    roots: tuple[Path, ...]
    commit: str | None


def open_source(source: HuggingFaceSource) -> OpenedDataset:
    """Open a dataset; one from the hub is downloaded, into the cache of Hugging Face.

    No code of a dataset is run, and nothing is fetched but the dataset's own files.

    Raises:
        UserError: `datasets` is not installed; or there is no such dataset, configuration or split; or it cannot be
            downloaded or read.
    """
    datasets = _datasets()
    folder = Path(source.name).expanduser()
    if folder.is_dir():
        return OpenedDataset(_local(datasets, source, folder.resolve()), (folder.resolve(),), None)
    if source.name.startswith(("/", ".", "~")) or source.name.count("/") > 1 or "\\" in source.name:
        raise UserError("the folder does not exist", where=source.name, how="give a folder or a hub id like org/name")
    commit = hub_commit(source.name, source.revision)
    table = _cached(datasets, source) if commit is None else _from_hub(datasets, source, commit)
    caches = (datasets.config.HF_DATASETS_CACHE, datasets.config.DOWNLOADED_DATASETS_PATH, _hub_cache())
    return OpenedDataset(table, tuple(Path(path).resolve() for path in caches), commit)


def _datasets() -> Any:
    try:
        return importlib.import_module("datasets")
    except ImportError as error:
        raise UserError(
            f"Hugging Face datasets are read with the package datasets, which is not installed ({error})",
            how="pip install 'iisan[huggingface]'",
        ) from error


def _hub_cache() -> str:
    from huggingface_hub import constants

    return constants.HF_HUB_CACHE


def _local(datasets: Any, source: HuggingFaceSource, folder: Path) -> HuggingFaceTable:
    saved = (folder / STATE_FILE).is_file() or (folder / SPLITS_FILE).is_file()
    if source.revision or (saved and source.config):
        raise UserError("a folder has no revisions, and a saved dataset no configurations", where=source.name)
    if (folder / STATE_FILE).is_file():
        if source.split not in (None, ALL_SPLITS):
            raise UserError("the saved dataset is one split", where=source.name, how="leave the split out")
        return HuggingFaceTable(folder, _saved(datasets, folder))
    if (folder / SPLITS_FILE).is_file():
        there = _strings(_json(folder / SPLITS_FILE).get("splits"), folder / SPLITS_FILE)
        chosen = _chosen_splits(source, there)
        parts = [_saved(datasets, _inside(folder, name)) for name in chosen]
        data = parts[0] if len(parts) == 1 else datasets.concatenate_datasets(parts)
        return HuggingFaceTable(folder / "+".join(chosen), data)
    for name in CARD_FILES:
        if (folder / name).is_file():
            check_card(folder / name, source.name)
    return _built(datasets, source, str(folder), None, f"{folder}{os.sep}")


def _saved(datasets: Any, folder: Path) -> Any:
    state = _json(folder / STATE_FILE)
    for entry in state.get("_data_files") or []:
        _inside(folder, entry.get("filename") if isinstance(entry, dict) else None)
    with _failing(str(folder)), _quiet(datasets):
        return datasets.Dataset.load_from_disk(str(folder))


def _from_hub(datasets: Any, source: HuggingFaceSource, commit: str | None) -> HuggingFaceTable:
    return _built(datasets, source, source.name, commit, f"hf://datasets/{source.name}@")


def _cached(datasets: Any, source: HuggingFaceSource) -> HuggingFaceTable:
    try:
        table = _from_hub(datasets, source, None)
    except UserError as error:
        if not isinstance(error.__cause__, ConnectionError):
            raise
        what = "the dataset is not in the cache, and HF_HUB_OFFLINE forbids to download it"
        raise UserError(what, where=source.name, how="unset HF_HUB_OFFLINE, or give a folder") from error
    logger.warning("%s: taken from the cache, whatever was loaded last", source.name)
    return table


def _built(
    datasets: Any, source: HuggingFaceSource, path: str, revision: str | None, own_files: str
) -> HuggingFaceTable:
    with _failing(source.name), _quiet(datasets):
        builder = datasets.load_dataset_builder(path, name=source.config, revision=revision)
        _check_builder(builder, source.name, own_files)
        chosen = _chosen_splits(source, _builder_splits(builder))
        builder.download_and_prepare()
        data = builder.as_dataset(split="+".join(chosen))
    return HuggingFaceTable(Path(f"{source.name}, split {'+'.join(chosen)}"), data)


def _builder_splits(builder: Any) -> list[str]:
    files = getattr(builder.config, "data_files", None)
    return [str(name) for name in (files or builder.info.splits or ())]


def _check_builder(builder: Any, name: str, own_files: str) -> None:
    kind = type(builder).__module__.split(".")[-1]
    if kind not in BUILDERS:
        how = "unpack or download it; for tar shards there is `iisan import webdataset`"
        raise UserError(f"files of kind {kind!r} are not read from Hugging Face datasets", where=name, how=how)
    for files in (getattr(builder.config, "data_files", None) or {}).values():
        strangers = [file for file in files if not str(file).startswith(own_files) or "::" in str(file)]
        if strangers:
            raise stranger(strangers[0], name)


def _chosen_splits(source: HuggingFaceSource, there: Sequence[str]) -> list[str]:
    if source.split == ALL_SPLITS or (source.split is None and len(there) == 1):
        return list(there)
    listed = ", ".join(there) or "none"
    if source.split is None:
        how = "name one, several joined by +, or all"
        raise UserError(f"the dataset has several splits: {listed}", where=source.name, how=how)
    chosen = source.split.split("+")
    unknown = [name for name in chosen if name not in there]
    if unknown:
        raise UserError(f"no split {unknown[0]!r}", where=source.name, how=f"there are: {listed}")
    return chosen


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"the file cannot be read ({error})", where=str(path), how="save the dataset again") from error
    if not isinstance(content, dict):
        raise UserError("the file is not what `save_to_disk` writes", where=str(path), how="save the dataset again")
    return content


def _strings(value: Any, path: Path) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        raise UserError("the file is not what `save_to_disk` writes", where=str(path), how="save the dataset again")
    return value


def _inside(folder: Path, name: Any) -> Path:
    """A path below a folder, by a name that its files give."""
    try:
        path = (folder / relative_media_path(str(name))).resolve()
    except BadMediaError as bad:
        raise UserError(bad.detail, where=str(folder), how="save the dataset again") from bad
    if not path.is_relative_to(folder.resolve()):
        raise UserError(f"{name!r} leads out of the folder", where=str(folder), how="save the dataset again")
    return path


@contextlib.contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """Without bars where nobody sees them move."""
    if sys.stderr.isatty() or datasets.are_progress_bars_disabled():
        yield
        return
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.enable_progress_bars()


@contextlib.contextmanager
def _failing(name: str) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # `datasets` and the readers behind it raise nearly any exception.
        cause = error.__cause__ if "generating the dataset" in str(error) and error.__cause__ else error
        how = "see that it is whole, and that its configuration and split are named"
        raise UserError(f"the dataset cannot be read ({reason_of(cause)})", where=name, how=how) from error
