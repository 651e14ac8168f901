"""The stages of the scale benchmark; each runs in a process of its own, which prints its seconds and peak memory.

python benchmarks/scale_stages.py STAGE FOLDER
"""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from iisan.data.dataset import Dataset
from iisan.data.importers.delimited import DelimitedImport, import_delimited
from iisan.data.interactions import Interactions
from iisan.data.leave_one_out import leave_one_out
from iisan.data.windows import training_windows
from iisan.evaluation.evaluate import evaluate
from iisan.evaluation.scorers import RecommenderScorer
from iisan.jobs.train import Validation, make_split, recommender_config
from iisan.models.item_table import ItemTable
from iisan.models.recommender import Recommender
from iisan.states.cached_source import CachedSource
from iisan.states.encode_items import encode_items
from iisan.states.store import HiddenStateStore
from iisan.training.checkpoint import save_checkpoint
from iisan.training.config import TrainConfig
from iisan.training.trainer import Trainer
from random_encoder import RandomEncoder
from stop_after import EnoughError, StopAfter

MODALITIES = ("about", "text")
STEPS = 50
RANKED_USERS = 512
HISTORIES = 64
GATHERED = 512

Figures = dict[str, float]


def import_log(folder: Path) -> Figures:
    config = DelimitedImport(
        items=folder / "raw" / "items.csv",
        interactions=folder / "raw" / "log.csv",
        extra_texts=("about={title} by {brand}",),
        overwrite=True,
    )
    dataset = import_delimited(config, folder / "dataset")
    return {"interactions": len(dataset.interactions)}


def split(folder: Path) -> Figures:
    dataset = Dataset.open(folder / "dataset")
    parts = leave_one_out(dataset)
    return {"users": parts.n_users, "windows": len(training_windows(parts, TrainConfig().max_length))}


def encode(folder: Path) -> Figures:
    dataset = Dataset.open(folder / "dataset")
    for name in MODALITIES:
        encode_items(RandomEncoder(), dataset.item_ids, dataset.texts(name), folder / "states" / name)
    size = sum(path.stat().st_size for path in (folder / "states").rglob("*") if path.is_file())
    return {"store_mb": size / 1e6}


def gather(folder: Path) -> Figures:
    dataset, started = Dataset.open(folder / "dataset"), time.perf_counter()
    stores = _stores(folder)
    source = CachedSource(stores, dataset.item_ids, resident=False)
    opened = time.perf_counter() - started
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randint(dataset.n_items, (GATHERED,), generator=generator) for _ in range(100)]
    times = [_timed(lambda rows=rows: source.gather(rows)) for rows in batches]
    return {"open_s": opened, "gather_ms": 1000 * statistics.median(times)}


def train(folder: Path) -> Figures:
    dataset = Dataset.open(folder / "dataset")
    config = TrainConfig.preset("default", device="cpu")
    parts = make_split(dataset, config)
    source = CachedSource(_stores(folder), dataset.item_ids)
    torch.manual_seed(config.seed)
    model = Recommender(recommender_config(config, source.modalities, dataset.n_items))
    started = time.perf_counter()
    model.fit_whitening(source)
    prepared = model.prepared(source)
    whitened = time.perf_counter() - started
    reporter = StopAfter(STEPS)
    validate = Validation(prepared, parts, config)
    trainer = Trainer(model, prepared, parts, config, folder / "run", validate, reporter)
    reporter.start()
    with contextlib.suppress(EnoughError):
        trainer.fit()
    checkpoint = folder / "checkpoint.safetensors"
    saving = _timed(
        lambda: save_checkpoint(
            checkpoint, model, trainer.optimizer, trainer.average, trainer.position, {}, trainer.items
        )
    )
    model.save_pretrained(folder / "trained")
    return {
        "whiten_s": whitened,
        "step_ms": reporter.median_ms,
        "checkpoint_s": saving,
        "checkpoint_mb": checkpoint.stat().st_size / 1e6,
    }


def embed(folder: Path) -> Figures:
    dataset = Dataset.open(folder / "dataset")
    model = Recommender.from_pretrained(folder / "trained")
    source = model.prepared(CachedSource(_stores(folder), dataset.item_ids))
    started = time.perf_counter()
    embeddings = model.embed_items(source)
    embedding = time.perf_counter() - started
    offered = torch.ones(dataset.n_items, dtype=torch.bool)
    model.item_table = ItemTable(dataset.item_ids, dataset.titles, embeddings, offered)
    model.save_pretrained(folder / "model")
    return {"embed_s": embedding}


def rank(folder: Path) -> Figures:
    model = Recommender.from_pretrained(folder / "model")
    log = Dataset.open(folder / "dataset").interactions
    chosen = log.user < RANKED_USERS
    few = Interactions(
        log.user[chosen], log.item[chosen], None, None, n_users=int(log.user[chosen].max()) + 1, n_items=log.n_items
    )
    parts, started = leave_one_out(few), time.perf_counter()
    evaluate(RecommenderScorer(model, model.table.embeddings), parts, "test", model.max_length)
    return {"users": parts.n_users, "rank_s": time.perf_counter() - started}


def recommend(folder: Path) -> Figures:
    started = time.perf_counter()
    model = Recommender.from_pretrained(folder / "model")
    loaded = time.perf_counter() - started
    log, ids = Dataset.open(folder / "dataset").interactions, model.table.item_ids
    histories = [[ids[row] for row in log.item[log.user == user]] for user in range(HISTORIES)]
    answering = _timed(lambda: model.recommend(histories, 10))
    return {"load_s": loaded, "recommend_s": answering}


STAGES: dict[str, Callable[[Path], Figures]] = {
    "import": import_log,
    "split": split,
    "encode": encode,
    "gather": gather,
    "train": train,
    "embed": embed,
    "rank": rank,
    "recommend": recommend,
}


def _stores(folder: Path) -> dict[str, HiddenStateStore]:
    return {name: HiddenStateStore.open(folder / "states" / name) for name in MODALITIES}


def _timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _memory_mb(field: str) -> float:
    """A field of this process's status in MB; resident pages of mapped files are counted."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(f"{field}:")).split()[1]) / 1000


def main() -> None:
    stage, folder = sys.argv[1], Path(sys.argv[2])
    before, started, used = _memory_mb("VmRSS"), time.perf_counter(), time.process_time()
    figures = STAGES[stage](folder)
    times = {"seconds": time.perf_counter() - started, "cpu_s": time.process_time() - used}
    memory = {"peak_mb": _memory_mb("VmHWM"), "before_mb": before}
    print(json.dumps({**times, **memory, **figures}))


if __name__ == "__main__":
    main()
