"""One epoch of cached training at the paper's shapes, by the trainer and from a mapped store, without validation.

python benchmarks/epoch.py --json benchmarks/results/epoch.json

With more items and less memory than their states take (`--items`, in a memory cgroup), it trains at the disk's rate.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

from iisan.models.recommender import Recommender
from iisan.training.batch_items import BatchItems
from iisan.training.config import TrainConfig
from iisan.training.trainer import Trainer
from machine import peak_pss_mb
from measure import block_rate, flop_of, median_ms, report
from paper_shapes import N_ITEMS, N_TAPS, N_USERS, SHAPES, WIDTH, make_model, make_source, make_split

# Of an item in one modality: float16, without the tap that is the same for all
ITEM_BYTES = (N_TAPS - 1) * WIDTH * 2


def nothing(model: Recommender) -> dict[str, float]:
    """A validation that costs nothing."""
    return {"HR@10": 0.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write the result")
    parser.add_argument("--items", type=int, default=N_ITEMS, help="size of the catalogue")
    parser.add_argument("--folder", type=Path, help="where to make the stores, on the disk to be measured")
    parser.add_argument("--reduced", action="store_true", help="few items and users, to see that it works")
    options = parser.parse_args()
    n_items, n_users = (2_000, 1_000) if options.reduced else (options.items, N_USERS)
    config = TrainConfig.preset("paper", max_epochs=1, device="cpu")
    split = make_split(n_items, n_users)
    model = make_model(config, n_items)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        source = make_source(Path(folder), n_items)
        trainer = Trainer(model, source, split, config, Path(folder) / "run", nothing)
        record = trainer.fit().history[0]
        # What the products of all steps take, from those of the first one and the distinct items of each.
        model.train()
        batches = [trainer.windows[torch.from_numpy(batch)] for batch in trainer.order.batches(0)]
        distinct = [len(BatchItems.of(batch).rows) for batch in batches]
        flop_of_first = flop_of(lambda: torch.autograd.backward(trainer.step(batches[0])[0]))
        pss = peak_pss_mb()
    flop = flop_of_first * sum(distinct) / distinct[0]
    n_mean = round(sum(distinct) / len(distinct))
    copied = torch.randn(len(SHAPES) * n_mean, N_TAPS - 1, WIDTH).half()
    floor_s = (flop / block_rate(n_mean) + len(batches) * median_ms(lambda: copied.float(), 50)) / 1000
    result = {
        "epoch_s": record["seconds"],
        "floor_s": round(floor_s, 3),
        "ratio": round(record["seconds"] / floor_s, 2),
        "steps": record["steps"],
        "items": n_items,
        "store_mb": round(n_items * len(SHAPES) * ITEM_BYTES / 1e6),
        "gathered_mb": round(sum(distinct) * len(SHAPES) * ITEM_BYTES / 1e6),
        "gflop": round(flop / 1e9, 1),
        "peak_pss_mb": round(pss, 1),
        "reduced": options.reduced,
    }
    report(result, options.json)


if __name__ == "__main__":
    main()
