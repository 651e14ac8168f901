"""What one GPU makes of the paper's shapes, with random states and encoders of random weights, in under eight minutes.

python benchmarks/gpu.py --json benchmarks/results/gpu.json
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from efficiency_problem import SCALES, Scale, load_encoders, make_contents, save_models
from iisan.data.epoch_order import with_next
from iisan.data.interactions import Rows
from iisan.data.split import Split
from iisan.efficiency.memory_meter import MemoryMeter
from iisan.encoders.encoder import Encoder
from iisan.jobs.train import Validation
from iisan.models.recommender import Recommender
from iisan.states.pinned_transfer import PinnedTransfer
from iisan.states.prefetched_source import PrefetchedSource
from iisan.states.sources import StateSource
from iisan.training.config import TrainConfig
from iisan.training.device import resolve_device
from iisan.training.trainer import Trainer
from measure import report
from paper_shapes import N_ITEMS, N_USERS, SHAPES, make_model, make_source, make_split
from random_states import RandomStates

# What the host calls to have kernels run; one of a graph runs all of its kernels.
LAUNCHES = ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx", "cudaGraphLaunch")
PROFILED = 20


def nothing(model: Recommender) -> dict[str, float]:
    """A validation that costs nothing."""
    return {"HR@10": 0.0}


def synchronize(device: torch.device) -> None:
    """Waits for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """Wall time of a call, the device's work included."""
    synchronize(device)
    started = time.perf_counter()
    run()
    synchronize(device)
    return time.perf_counter() - started


def trainer_of(config: TrainConfig, source: StateSource, split: Split, folder: Path) -> Trainer:
    """A trainer at the paper's shapes."""
    device = resolve_device(config.device)
    return Trainer(make_model(config, source.n_items).to(device), source, split, config, folder, nothing)


def mapped_states(folder: Path, n_items: int, device: torch.device) -> StateSource:
    """States in a memory-mapped store, which a thread brings to a CUDA device."""
    source = make_source(folder, n_items)
    return PrefetchedSource(source, PinnedTransfer(device)) if device.type == "cuda" else source


def train(trainer: Trainer, batches: Sequence[Rows]) -> list[torch.Tensor]:
    """Steps over some batches as the trainer takes them, without reading a loss."""
    losses = []
    trainer.position.step = 0
    for batch, following in with_next(batches):
        if following is not None:
            trainer._expect(following)
        losses.append(trainer._train_on(batch)[0])
        trainer.position.step += 1
    return losses


def cached_epoch(
    config: TrainConfig, make: Callable[[torch.device], StateSource], split: Split, folder: Path, steps: int | None
) -> dict[str, Any]:
    """Time of an epoch after a first one has warmed everything up, and the device's memory.

    Args:
        config: Gives the loss.
        make: Makes the source on a device, whose memory counts.
        split: Histories.
        folder: For checkpoints.
        steps: Steps to measure; an epoch is scaled from them. None: the whole epoch.
    """
    device = resolve_device(config.device)
    memory = MemoryMeter(device)
    source = make(device)
    trainer = trainer_of(config, source, split, folder)
    trainer.model.train()
    batches = list(trainer.order.batches(0))
    timed = batches if steps is None else batches[:steps]
    train(trainer, timed[: max(3, len(timed) // 2)])
    losses: list[torch.Tensor] = []
    took = seconds(lambda: losses.extend(train(trainer, timed)), device)
    peak = memory.peak()
    assert torch.stack(losses).isfinite().all()
    figures = {
        "epoch_s": round(took * len(batches) / len(timed), 4),
        "step_ms": round(1000 * took / len(timed), 3),
        "steps_timed": len(timed),
        "steps_per_epoch": len(batches),
        "peak_memory_mb": round(peak.bytes / 1e6, 1),
        "memory_kind": peak.kind,
        "graphed": trainer.fixed is not None and trainer.fixed.records,
        **profiled(trainer, device),
    }
    if trainer.fixed is not None:
        trainer.fixed.forget()
    return figures


def profiled(trainer: Trainer, device: torch.device) -> dict[str, Any]:
    """Launches and kernels a step, and the share of the time in which the device was busy."""
    on_device = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_device else [])]
    batches = list(trainer.order.batches(0))[:PROFILED]
    # The share is of the time without a profiler, which slows the host down.
    wall = seconds(lambda: train(trainer, batches), device)
    with profile(activities=activities) as profiler:
        seconds(lambda: train(trainer, batches), device)
    events = profiler.events() or []
    operations = [event for event in events if event.device_type.name == "CPU"]
    kernels = [event for event in events if event.device_type.name == "CUDA"]
    figures: dict[str, Any] = {
        "operations_per_step": round(sum(event.name.startswith("aten::") for event in operations) / len(batches), 1)
    }
    if on_device:
        launches = sum(event.name in LAUNCHES for event in operations)
        busy = sum(event.time_range.elapsed_us() for event in kernels) / 1e6
        figures |= {
            "launches_per_step": round(launches / len(batches), 1),
            "kernels_per_step": round(len(kernels) / len(batches), 1),
            "device_share": round(busy / wall, 3),
        }
    return figures


def ranking(config: TrainConfig, n_items: int, split: Split) -> dict[str, Any]:
    """Time to embed all items and rank all users' targets among them."""
    device = resolve_device(config.device)
    source = RandomStates(SHAPES, n_items, device)
    model = make_model(config, n_items).to(device).eval()
    validate = Validation(source, split, config)
    validate(model)
    return {
        "embed_s": round(seconds(lambda: model.embed_items(source, chunk=config.encode_chunk), device), 4),
        "ranking_s": round(seconds(lambda: validate(model), device), 4),
    }


def encoding(scale: Scale, folder: Path, items: int) -> dict[str, Any]:
    """Items a second that BERT-base and ViT-base encode; pictures come decoded."""
    save_models(folder, scale)
    contents = make_contents(scale)
    rates: dict[str, Any] = {}
    for name, encoder in load_encoders(folder, scale, "auto", None).items():
        rates[name] = {"items_per_s": round(_rate(encoder, contents[name][:items]), 1), "items": items}
        rates[name]["dtype"] = str(next(encoder.module.parameters()).dtype).removeprefix("torch.")
    return rates


def _rate(encoder: Encoder, contents: list[str]) -> float:
    encoder.encode(contents[: 2 * encoder.config.batch_size])
    return len(contents) / seconds(lambda: encoder.encode(contents), encoder.device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write the result")
    parser.add_argument("--reduced", action="store_true", help="small sizes, to see that it works; runs on a CPU too")
    options = parser.parse_args()
    if not (options.reduced or torch.cuda.is_available()):
        sys.exit("gpu.py: there is no CUDA device; --reduced tries it on the CPU")
    n_items, n_users = (500, 200) if options.reduced else (N_ITEMS, N_USERS)
    split = make_split(n_items, n_users)
    some_steps = 2 if options.reduced else 60
    started = time.perf_counter()
    result: dict[str, Any] = {"reduced": options.reduced}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paper = TrainConfig.preset("paper")
        full = TrainConfig.preset("paper", loss="full_softmax")
        sampled = TrainConfig.preset("paper", loss="sampled_softmax", negatives=64 if options.reduced else 8192)

        def resident(device: torch.device) -> StateSource:
            return RandomStates(SHAPES, n_items, device)

        def mapped(device: torch.device) -> StateSource:
            return mapped_states(folder / "stores", n_items, device)

        parts: dict[str, Callable[[], dict[str, Any]]] = {
            "in_batch": lambda: cached_epoch(paper, resident, split, folder / "in-batch", None),
            "full_softmax": lambda: cached_epoch(full, resident, split, folder / "full", some_steps),
            "sampled_softmax": lambda: cached_epoch(sampled, resident, split, folder / "sampled", some_steps),
            "mapped_in_batch": lambda: cached_epoch(paper, mapped, split, folder / "mapped", None),
            "ranking": lambda: ranking(paper, n_items, split),
            "encode": lambda: encoding(
                SCALES["tiny" if options.reduced else "paper"], folder, 32 if options.reduced else 8192
            ),
        }
        for name, part in parts.items():
            result[name] = part()
            print(f"{name}: {result[name]} ({time.perf_counter() - started:.0f} s)", file=sys.stderr, flush=True)
    result["total_s"] = round(time.perf_counter() - started, 1)
    report(result, options.json)


if __name__ == "__main__":
    main()
