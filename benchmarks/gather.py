"""Gathering the states of a step's items: from memory, from a map, and from a disk whose cache was dropped.

python benchmarks/gather.py --json benchmarks/results/gather.json
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from iisan.data.epoch_order import EpochOrder
from iisan.data.windows import training_windows
from iisan.states.cached_source import CachedSource
from iisan.states.store import HiddenStateStore
from iisan.training.batch_items import BatchItems
from iisan.training.config import TrainConfig
from machine import machine
from paper_shapes import N_ITEMS, N_TAPS, SHAPES, WIDTH, make_source, make_split

ROW_BYTES = len(SHAPES) * (N_TAPS - 1) * WIDTH * 2


class Files:
    """The shards of some stores."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.glob("*/*.safetensors"))
        for path in self.paths:
            with path.open("rb") as file:
                os.fsync(file.fileno())
        self.size = sum(path.stat().st_size for path in self.paths)

    def drop(self) -> None:
        """Out of the page cache; what is mapped and was touched would stay in it."""
        gc.collect()
        for path in self.paths:
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def sequential(self) -> float:
        """Bytes a second of reading all of it in order."""
        self.drop()
        started = time.perf_counter()
        for path in self.paths:
            with path.open("rb", buffering=0) as file:
                while file.read(1 << 20):
                    pass
        return self.size / (time.perf_counter() - started)

    def random(self, row_bytes: int, count: int) -> float:
        """Bytes a second of reading rows at random places, one after the other."""
        self.drop()
        rng = np.random.default_rng(0)
        opened = [os.open(path, os.O_RDONLY) for path in self.paths if path.stat().st_size > 2 * row_bytes]
        sizes = [os.fstat(file).st_size for file in opened]
        chosen = rng.integers(len(opened), size=count).tolist()
        started = time.perf_counter()
        for number in chosen:
            os.pread(opened[number], row_bytes, int(rng.integers(sizes[number] - row_bytes)))
        seconds = time.perf_counter() - started
        for file in opened:
            os.close(file)
        return count * row_bytes / seconds


def warm(source: CachedSource, batches: list[Tensor]) -> list[float]:
    """Milliseconds of each gather, the second time round."""
    for rows in batches:
        source.gather(rows)
    return [_timed(lambda rows=rows: source.gather(rows)) for rows in batches]  # type: ignore[misc]


def _gather(source: CachedSource, rows: Tensor) -> None:
    source.gather(rows)


def page_by_page(source: CachedSource, rows: Tensor) -> None:
    """A gather without reading ahead: each page is read when it is touched."""
    with mock.patch.object(HiddenStateStore, "_read_ahead", return_value=None):
        source.gather(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write the result")
    parser.add_argument("--items", type=int, default=N_ITEMS, help="size of the catalogue")
    parser.add_argument("--batches", type=int, default=30, help="gathers measured")
    parser.add_argument("--step-ms", type=float, default=40.0, help="what a step computes between two gathers")
    parser.add_argument("--folder", type=Path, help="where to make the stores, on the disk to be measured")
    options = parser.parse_args()
    batches = _batches(options.items, options.batches)
    n_bytes = statistics.mean(len(rows) for rows in batches) * ROW_BYTES
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder, ids = Path(name), [str(row) for row in range(options.items)]
        make_source(folder, options.items)
        files = Files(folder)

        def opened(resident: bool = False) -> CachedSource:
            return CachedSource({name: HiddenStateStore.open(folder / name) for name in SHAPES}, ids, resident=resident)

        def cold(gather: Callable[[CachedSource, Tensor], None], expected: bool = False) -> list[float]:
            """Each gather of a store of which nothing is in memory, as of one that is far larger."""
            times = []
            for rows in batches:
                files.drop()
                source = opened()
                if expected:
                    source.expect(rows)
                    time.sleep(options.step_ms / 1000)
                times.append(_timed(lambda: gather(source, rows)))  # noqa: B023
            return times

        found = {
            "resident": warm(opened(resident=True), batches),
            "mapped, in the page cache": warm(opened(), batches),
            "cold, page by page": cold(page_by_page),
            "cold": cold(_gather),
            "cold, expected a step before": cold(_gather, expected=True),
        }
        sequential, random = files.sequential(), files.random(ROW_BYTES // len(SHAPES), 2000)
    copied = torch.randn(len(SHAPES) * round(n_bytes / ROW_BYTES), N_TAPS - 1, WIDTH).half()
    copy_ms = statistics.median(_timed(lambda: copied.float()) for _ in range(50))
    result: dict[str, Any] = {
        "items": options.items,
        "store_mb": round(files.size / 1e6),
        "mb_a_gather": round(n_bytes / 1e6, 2),
        "copy_ms": round(copy_ms, 2),
        "disk_sequential_mb_s": round(sequential / 1e6),
        "disk_random_mb_s": round(random / 1e6),
        "gathers": {
            name: {
                "ms": round(statistics.median(times), 2),
                "mean_ms": round(statistics.mean(times), 2),
                "mb_s": round(n_bytes / 1e3 / statistics.mean(times)),
                "of_sequential": round(n_bytes * 1e3 / statistics.mean(times) / sequential, 2),
                "times_copy": round(statistics.median(times) / copy_ms, 2),
            }
            for name, times in found.items()
        },
        **machine(),
    }
    print(json.dumps(result, indent=2))
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _batches(n_items: int, count: int) -> list[Tensor]:
    config = TrainConfig.preset("paper")
    windows = torch.from_numpy(training_windows(make_split(n_items), config.max_length))
    order = EpochOrder(len(windows), config.batch_size, 0)
    batches = itertools.islice(order.batches(0), count)
    return [BatchItems.of(windows[torch.from_numpy(batch)]).rows for batch in batches]


def _timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - started)


if __name__ == "__main__":
    main()
