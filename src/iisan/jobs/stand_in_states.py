"""Stores that stand in for those of a dataset that is not encoded yet: right shapes, random numbers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from iisan.data.dataset import Dataset
from iisan.data.manifest import MEDIA_FILE
from iisan.encoders.config import EncoderConfig
from iisan.encoders.constant_taps import find_constant_taps
from iisan.encoders.encoder import Encoder
from iisan.encoders.load import load_encoder
from iisan.jobs.encode import modality_contents
from iisan.states.content import Content, is_missing
from iisan.states.index import IndexEntry
from iisan.states.manifest import StoreDtype
from iisan.states.same_store import StoreSpec
from iisan.states.writer import StoreWriter

# Items that are encoded to tell what encoding all of them takes, after some that only warm up.
SAMPLE, WARM_UP = 64, 8
# Rows of random numbers; items share them. Whitening wants more rows than a state has dimensions.
ROWS = 4096


@dataclass(frozen=True, slots=True)
class StandIn:
    """What making a stand-in told of the store to come.

    Attributes:
        contents: Distinct contents, each of which will be stored once.
        rows: Rows that the stand-in has.
        varying_taps: Taps that differ from item to item.
        width: ``D``.
        seconds: Seconds to encode all contents, scaled from a sample.
    """

    contents: int
    rows: int
    varying_taps: int
    width: int
    seconds: float


def write_stand_in(
    dataset: Dataset, modality: str, config: EncoderConfig, dtype: StoreDtype, path: Path, seed: int
) -> StandIn:
    """Loads an encoder, times it on a sample of the items, and writes a store of random states of its shapes.

    Args:
        dataset: Whose items.
        modality: Which of their contents.
        config: The encoder.
        dtype: Of the states on disk.
        path: Folder of the store.
        seed: Of the sample and the numbers.

    Raises:
        UserError: The encoder or a content of the sample cannot be read.
    """
    encoder = load_encoder(config)
    column = modality_contents(dataset, modality)
    rows = [row for row, content in enumerate(column) if not is_missing(content)]
    contents = _distinct(dataset, modality, column)
    taps, constant = find_constant_taps(encoder)
    spec = StoreSpec(encoder.identity, dtype, tuple(encoder.taps), encoder.width, taps, constant)
    n_rows = min(contents, ROWS)
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(n_rows, len(encoder.taps), encoder.width, generator=generator)
    for place, tap in enumerate(taps):
        states[:, encoder.taps.index(tap)] = constant[place]
    entries = [IndexEntry(dataset.item_ids[row], f"{at:064x}", at % max(1, n_rows)) for at, row in enumerate(rows)]
    with StoreWriter(path, spec) as writer:
        writer.append(states, entries)
    sample = np.random.default_rng(seed).permutation(rows)[: WARM_UP + SAMPLE]
    seconds = _seconds_each(encoder, [column[row] for row in sample.tolist()]) * contents
    return StandIn(contents, n_rows, len(encoder.taps) - len(taps), encoder.width, seconds)


def _seconds_each(encoder: Encoder, sample: Sequence[Content | None]) -> float:
    timed = sample[WARM_UP:] or sample
    if not timed:
        return 0.0
    encoder.encode(sample[:WARM_UP])
    started = time.perf_counter()
    encoder.encode(timed)
    return (time.perf_counter() - started) / len(timed)


def _distinct(dataset: Dataset, modality: str, column: Sequence[Content | None]) -> int:
    """How many different contents there are, by the checksums that the dataset has of its pictures."""
    present = {content for content in column if content is not None and not is_missing(content)}
    if dataset.modalities[modality] == "text":
        return len(present)
    table = pq.read_table(dataset.path / MEDIA_FILE, columns=["path", "sha256"])
    digests = dict(zip(table.column("path").to_pylist(), table.column("sha256").to_pylist(), strict=True))
    root = dataset.path.resolve()
    return len({digests[Path(path).relative_to(root).as_posix()] for path in present})
