"""One method of the efficiency benchmark, measured in a process that does nothing else; prints a line of JSON.

python benchmarks/efficiency_method.py METHOD FOLDER SCALE BLOCKS
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from efficiency_problem import SCALES, Scale, load_encoders, make_contents, save_models
from iisan.efficiency.memory_meter import MemoryMeter
from iisan.efficiency.step_clock import StepClock, StepsDoneError
from iisan.jobs.compared_methods import method_config
from iisan.jobs.train import recommender_config
from iisan.models.recommender import Recommender
from iisan.states.cached_source import CachedSource
from iisan.states.encode_items import encode_items
from iisan.states.live_source import LiveSource
from iisan.states.sources import StateSource
from iisan.states.store import HiddenStateStore
from iisan.states.store_rounding import store_roundings
from iisan.training.config import TrainConfig
from iisan.training.device import resolve_device
from iisan.training.encoder_rates import encoder_rates
from iisan.training.trained_state import trained_parameters
from iisan.training.trainer import Trainer
from iisan.tuning.choose import is_tuned, tuning_method
from iisan.tuning.tuned_source import TunedSource
from paper_shapes import make_split

# Not a method: makes the models, and the states that the cached ones train on.
PREPARE = "prepare"
CACHED_BATCH, BATCH = 64, 32


def prepare(folder: Path, scale: Scale) -> dict[str, Any]:
    """Saves the models and encodes the whole catalogue, which is timed."""
    save_models(folder, scale)
    contents = make_contents(scale)
    seconds = {}
    for name, encoder in load_encoders(folder, scale, "auto", None).items():
        encoder.encode(contents[name][: encoder.config.batch_size])
        started = time.perf_counter()
        encode_items(encoder, _ids(scale), contents[name], folder / "states" / name)
        seconds[name] = time.perf_counter() - started
    return {"items": scale.items, "seconds": seconds}


def measure(method: str, folder: Path, scale: Scale, blocks: int) -> dict[str, Any]:
    """Times blocks of training steps of a method."""
    batch = CACHED_BATCH if method.startswith("iisan") else BATCH
    config = method_config(method, "paper", {"batch_size": batch})
    device = resolve_device(config.device)
    memory = MemoryMeter(device)
    runs_encoders = is_tuned(method) or config.source == "live"
    clock = StepClock(device, scale.warm_up, scale.block if runs_encoders else scale.cached_block, blocks)
    source, identities = _source(config, folder, scale, device, clock)
    split = make_split(scale.items, scale.users)
    torch.manual_seed(config.seed)
    model = Recommender(recommender_config(config, source.modalities, scale.items)).to(device)
    if isinstance(source, TunedSource):
        model.encoders = source.modules
    rates = encoder_rates(config, identities)
    with tempfile.TemporaryDirectory() as run:
        trainer = Trainer(model, source, split, config, Path(run), _no_validation, None, clock, rates)
        with contextlib.suppress(StepsDoneError):
            trainer.fit()
    steps = trainer.order.n_batches
    peak = memory.peak()
    beside = source.n_parameters if isinstance(source, LiveSource) else 0
    return {
        "batch_size": batch,
        "steps_per_epoch": steps,
        "steps_timed": clock.block * blocks,
        "epoch_seconds": [second * steps for second in clock.step_seconds],
        "phase_seconds": {name: second * steps for name, second in clock.phase_seconds.items()},
        "trainable_parameters": sum(parameter.numel() for parameter in trained_parameters(model)),
        "parameters": beside + sum(parameter.numel() for parameter in model.parameters()),
        "peak_memory": peak.bytes,
        "memory_kind": peak.kind,
    }


def _source(
    config: TrainConfig, folder: Path, scale: Scale, device: torch.device, clock: StepClock
) -> tuple[StateSource, dict[str, dict[str, Any]]]:
    """Where the states come from, and what the encoders are; as `iisan train` chooses it."""
    if is_tuned(config.method):
        tuned = load_encoders(folder, scale, "float32", [-1])
        method = tuning_method(config.method, adapter_width=config.adapter_width)
        source = TunedSource(tuned, make_contents(scale), method, observer=clock)
        return source, {name: encoder.identity for name, encoder in tuned.items()}
    stores = {path.name: HiddenStateStore.open(path) for path in sorted((folder / "states").iterdir())}
    identities = {name: store.manifest.encoder for name, store in stores.items()}
    if config.source == "live":
        encoders = load_encoders(folder, scale, "auto", None)
        dtypes = {name: store.manifest.dtype for name, store in stores.items()}
        return LiveSource(
            encoders, make_contents(scale), device, store_roundings(encoders, dtypes), observer=clock
        ), identities
    return CachedSource(stores, _ids(scale), device=device), identities


def _ids(scale: Scale) -> list[str]:
    return [f"item {row}" for row in range(scale.items)]


def _no_validation(model: Recommender) -> dict[str, float]:
    raise RuntimeError("the epoch ended before all steps were timed: time fewer blocks")


def main() -> None:
    method, folder, name, blocks = sys.argv[1:]
    scale = SCALES[name]
    result = prepare(Path(folder), scale) if method == PREPARE else measure(method, Path(folder), scale, int(blocks))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
