"""One training step at the paper's shapes: its time, and the least that its arithmetic and bytes could take.

python benchmarks/step.py --json benchmarks/results/step.json
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import torch

from iisan.data.epoch_order import EpochOrder
from iisan.data.windows import training_windows
from iisan.training.batch_items import BatchItems
from iisan.training.config import TrainConfig
from iisan.training.optimizer import build_optimizer
from iisan.training.step import InBatchStep
from machine import peak_pss_mb
from measure import block_rate, flop_of, median_ms, report
from paper_shapes import N_ITEMS, N_TAPS, N_USERS, SHAPES, WIDTH, make_model, make_source, make_split


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write the result")
    parser.add_argument("--steps", type=int, default=60, help="steps measured")
    parser.add_argument("--reduced", action="store_true", help="few items and users, to see that it works")
    options = parser.parse_args()
    n_items, n_users = (2_000, 1_000) if options.reduced else (N_ITEMS, N_USERS)
    config = TrainConfig.preset("paper")
    split = make_split(n_items, n_users)
    windows = torch.from_numpy(training_windows(split, config.max_length))
    batches = [windows[torch.from_numpy(b)] for b in EpochOrder(len(windows), config.batch_size, 0).batches(0)]
    model = make_model(config, n_items)
    optimizer = build_optimizer(model, config)
    with tempfile.TemporaryDirectory() as folder:
        source = make_source(Path(folder), n_items)
        step = InBatchStep(model, source, split)

        def train(number: int) -> None:
            loss, _ = step(batches[number % len(batches)])
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()

        for number in range(10):
            train(number)
        numbers = iter(range(10, 10 + options.steps))
        step_ms = median_ms(lambda: train(next(numbers)), options.steps)
        flop = flop_of(lambda: train(0))
        n_distinct = round(statistics.mean(len(BatchItems.of(batch).rows) for batch in batches[:50]))
        rows = BatchItems.of(batches[0]).rows
        gather_ms = median_ms(lambda: source.gather(rows), 50)
        pss = peak_pss_mb()
    copied = torch.randn(len(SHAPES) * n_distinct, N_TAPS - 1, WIDTH).half()
    bytes_ms = median_ms(lambda: copied.float(), 50)
    floor_ms = flop / block_rate(n_distinct) + bytes_ms
    result = {
        "step_ms": round(step_ms, 2),
        "floor_ms": round(floor_ms, 2),
        "ratio": round(step_ms / floor_ms, 2),
        "gather_ms": round(gather_ms, 2),
        "peak_pss_mb": round(pss, 1),
        "gflop": round(flop / 1e9, 2),
        "distinct_items": n_distinct,
        "epoch_s": round(step_ms * len(batches) / 1000, 2),
        "reduced": options.reduced,
    }
    report(result, options.json)


if __name__ == "__main__":
    main()
