"""One training step at the paper's shapes: its time, and the least that its arithmetic and bytes could take.

python benchmarks/step.py --json benchmarks/results/step.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from iisan.data.epoch_order import EpochOrder
from iisan.data.windows import training_windows
from iisan.training.batch_items import BatchItems
from iisan.training.config import TrainConfig
from iisan.training.optimizer import build_optimizer
from iisan.training.step import InBatchStep
from machine import machine, peak_pss_mb
from paper_shapes import N_TAPS, SHAPES, WIDTH, make_model, make_source, make_split


def median_ms(run: Callable[[], object], repeats: int) -> float:
    """Median wall time of a call in milliseconds."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def product_rate(n_items: int) -> float:
    """FLOP per ms of the step's own products: ``[n, 768] x [768, 64]`` and back."""
    x, down, up = torch.randn(n_items, WIDTH), torch.randn(WIDTH, 64), torch.randn(64, WIDTH)
    run = lambda: (x @ down) @ up  # noqa: E731
    median_ms(run, 20)
    return 2 * 2 * n_items * WIDTH * 64 / median_ms(run, 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write the result")
    parser.add_argument("--steps", type=int, default=60, help="steps measured")
    options = parser.parse_args()
    config = TrainConfig.preset("paper")
    split = make_split()
    windows = torch.from_numpy(training_windows(split, config.max_length))
    batches = [windows[torch.from_numpy(b)] for b in EpochOrder(len(windows), config.batch_size, 0).batches(0)]
    model = make_model(config)
    optimizer = build_optimizer(model, config)
    with tempfile.TemporaryDirectory() as folder:
        source = make_source(Path(folder))
        step = InBatchStep(model, source, split)

        def train(number: int) -> None:
            loss, _ = step(batches[number % len(batches)])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

        for number in range(10):
            train(number)
        numbers = iter(range(10, 10 + options.steps))
        step_ms = median_ms(lambda: train(next(numbers)), options.steps)
        with FlopCounterMode(display=False) as counter:
            train(0)
        n_items = round(statistics.mean(len(BatchItems.of(batch).rows) for batch in batches[:50]))
        rows = BatchItems.of(batches[0]).rows
        gather_ms = median_ms(lambda: source.gather(rows), 50)
        pss = peak_pss_mb()
    flop = counter.get_total_flops()
    copied = torch.randn(len(SHAPES) * n_items, N_TAPS - 1, WIDTH).half()
    bytes_ms = median_ms(lambda: copied.float(), 50)
    floor_ms = flop / product_rate(n_items) + bytes_ms
    result = {
        "step_ms": round(step_ms, 2),
        "floor_ms": round(floor_ms, 2),
        "ratio": round(step_ms / floor_ms, 2),
        "gather_ms": round(gather_ms, 2),
        "peak_pss_mb": round(pss, 1),
        "gflop": round(flop / 1e9, 2),
        "distinct_items": n_items,
        "epoch_s": round(step_ms * len(batches) / 1000, 2),
        **machine(),
    }
    print(json.dumps(result, indent=2))
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
