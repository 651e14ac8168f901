"""Ranking a catalogue: scoring every item against looking in the nearest cells, and against a graph.

python benchmarks/serving_index.py --json benchmarks/results/serving-index.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch
from torch import Tensor

from iisan.serving.approximate_index import ApproximateIndex
from iisan.serving.exact_index import ExactIndex, in_some
from machine import machine, peak_pss_mb

DIM, INNER, K, USERS = 64, 24, 10, 256
RECALL = 0.98
BATCHES = (1, 32)
# Above this the graph takes minutes to build on one core.
LARGEST_GRAPH = 100_000
LINKS, BREADTH_BUILT = 32, 80


def made_up(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Items in clusters of about 200 around a plane of 24 dimensions, and users between two of them each."""
    random = np.random.default_rng(seed)
    plane = random.standard_normal((INNER, DIM)) / np.sqrt(INNER)
    centres = random.standard_normal((max(50, n // 200), INNER))
    places = centres[random.integers(len(centres), size=n)] + 0.6 * random.standard_normal((n, INNER))
    items = places @ plane + 0.1 * random.standard_normal((n, DIM))
    between = items[random.integers(n, size=USERS)] + 0.5 * items[random.integers(n, size=USERS)]
    users = between + 0.3 * random.standard_normal((USERS, DIM))
    return torch.from_numpy(items).float(), torch.from_numpy(users).float()


def ms_a_user(run: Callable[[int, int], object], batch: int, repeats: int) -> float:
    """Median milliseconds of processor time a user of ``run(first, last)``, which on an idle machine is wall time."""
    times = []
    for number in range(repeats + 1):
        first = number * batch % (USERS - batch + 1)
        started = time.thread_time()
        run(first, first + batch)
        times.append(1000 * (time.thread_time() - started) / batch)
    return round(statistics.median(times[1:]), 4)


def timed(run: Callable[[int, int], object]) -> dict[str, float]:
    return {f"ms_a_user_{batch}": ms_a_user(run, batch, 30 if batch == 1 else 12) for batch in BATCHES}


def graph(items: Tensor, users: Tensor, wanted: Tensor) -> dict[str, Any]:
    """FAISS ``IndexHNSWFlat``, its breadth doubled until it finds enough."""
    started = time.thread_time()
    index = faiss.IndexHNSWFlat(DIM, LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = BREADTH_BUILT
    index.add(items.numpy())
    built, breadth, found = time.thread_time() - started, 16, 0.0
    while found < RECALL and breadth < 2048:
        breadth *= 2
        options = faiss.SearchParametersHNSW(efSearch=breadth)
        found = in_some(torch.from_numpy(index.search(users.numpy(), K, params=options)[1]), wanted)
    times = timed(lambda first, last: index.search(users[first:last].numpy(), K, params=options))
    return {"build_s": round(built, 2), "recall": round(found, 4), "breadth": breadth, **times}


def measure(n: int) -> dict[str, Any]:
    items, users = made_up(n)
    nothing: list[list[int]] = [[] for _ in users]
    exact = ExactIndex(items, torch.ones(n, dtype=torch.bool))
    wanted = exact.best(users, K, nothing).rows
    result: dict[str, Any] = {"items": n}
    result["exact"] = timed(lambda first, last: exact.best(users[first:last], K, nothing[first:last]).lists())
    started = time.thread_time()
    cells = ApproximateIndex(exact)
    built = time.thread_time() - started
    cells.tune(users, K, RECALL)
    report = cells.report
    result["cells"] = {
        "build_s": round(built, 2),
        "recall": round(report.recall, 4),
        "probes": report.probes,
        "cells": report.cells,
        **timed(lambda first, last: cells.best(users[first:last], K, nothing[first:last]).lists()),
    }
    if n <= LARGEST_GRAPH:
        result["graph"] = graph(items, users, wanted)
    return {**result, "pss_mb": round(peak_pss_mb())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=[10_000, 30_000, 100_000, 300_000, 1_000_000])
    parser.add_argument("--json", type=Path, help="where to write the result")
    options = parser.parse_args()
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    sizes = []
    for n in options.items:
        sizes.append(measure(n))
        print(json.dumps(sizes[-1]), flush=True)
    result = {"dim": DIM, "k": K, "recall_wanted": RECALL, "sizes": sizes, **machine()}
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
