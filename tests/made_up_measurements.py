"""Measurements as they might come out, made up after the paper's figures."""

from __future__ import annotations

import math
from typing import Any

from iisan.efficiency.measurement import EncodingCost, EpochRecord, Failure, Measurement, Outcome, TunedShare

GIB = 2**30
STEPS = 378
# Method: seconds an epoch, trainable parameters, GiB, HR@10 in percent, shares of data, forward, backward and update.
PAPER_LIKE: dict[str, tuple[float, int, float, float, tuple[float, float, float, float]]] = {
    "full": (443, 195_300_000, 46.8, 6.62, (0.03, 0.27, 0.52, 0.16)),
    "adapter": (354, 5_070_000, 37.8, 6.61, (0.04, 0.34, 0.58, 0.02)),
    "lora": (378, 880_000, 39.1, 6.62, (0.04, 0.33, 0.59, 0.02)),
    "bitfit": (341, 480_000, 36.9, 6.37, (0.04, 0.35, 0.57, 0.01)),
    "peft:ia3": (362, 310_000, 38.2, 6.31, (0.04, 0.34, 0.58, 0.02)),
    "frozen": (14, 390_000, 2.1, 4.35, (0.35, 0.2, 0.25, 0.1)),
    "iisan-uncached": (179, 4_113_877, 8.3, 6.83, (0.06, 0.74, 0.13, 0.05)),
    "iisan": (22.4, 4_113_877, 3.1, 6.83, (0.3, 0.22, 0.28, 0.12)),
    "id": (9, 1_450_000, 0.9, 3.9, (0.1, 0.3, 0.35, 0.2)),
}
LAYERS = (0, 2, 4, 6, 8, 10, 12)


def measurement(method: str, *, seconds: tuple[float, ...], trainable: int, memory: int, **other: Any) -> Measurement:
    """A small measurement: one record a given epoch, ten steps each."""
    epochs = [
        EpochRecord(epoch=epoch, loss=1.0, steps=10, seconds=second, phases={}, metrics={})
        for epoch, second in enumerate(seconds)
    ]
    values: dict[str, Any] = {
        "batch_size": 32,
        "steps_per_epoch": 10,
        "memory_kind": "process_resident",
        "test_metrics": {},
        "best_epoch": 0,
        "versions": {"torch": "2.13.0"},
        "device": "some CPU",
    }
    parameters = TunedShare(trainable=trainable, total=10 * trainable)
    return Measurement(method=method, epochs=epochs, parameters=parameters, peak_memory=memory, **{**values, **other})


def paper_like(*methods: str, epochs: int = 8, steps: int | None = None) -> list[Outcome]:
    """Measurements of some methods, or of all."""
    return [_paper_like(method, epochs, steps) for method in methods or PAPER_LIKE]


def failure() -> Failure:
    """A method that ran out of memory, with a reason that needs escaping everywhere."""
    reason = 'CUDA out of memory:\ntried <b>2.00 GiB</b> | *20 MiB* free & "more", $x$'
    return Failure(method="peft:vera", reason=reason, out_of_memory=True)


def gates() -> dict[str, Any]:
    image = {str(layer): 0.5 + 0.35 * math.sin(layer / 3) for layer in LAYERS}
    text = {str(layer): 0.5 - 0.03 * layer + 0.3 * (layer == 12) for layer in LAYERS}
    share = {str(layer): 0.3 + 0.04 * layer for layer in LAYERS}
    return {
        "intra": {"image": image, "text": text},
        "inter": {"image": share, "text": {layer: 1 - value for layer, value in share.items()}},
    }


def _paper_like(method: str, epochs: int, steps: int | None) -> Measurement:
    seconds, trainable, memory, quality, shares = PAPER_LIKE[method]
    side = method.startswith("iisan")
    batch = 64 if side else 32
    whole = STEPS // (2 if side else 1)
    run = min(steps or whole, whole)
    records = []
    for epoch in range(epochs):
        spent = seconds * run / whole * (1 + 0.04 * math.sin(2.4 * epoch + len(method)))
        grown = quality * (1 - 0.75 * math.exp(-(epoch + 1) / (2 + 0.3 * len(method) % 2)))
        metrics = {"HR@10": grown / 100, "NDCG@10": 0.6 * grown / 100} if steps is None else {}
        phases = {
            name: share * spent for name, share in zip(("data", "forward", "backward", "update"), shares, strict=True)
        }
        records.append(
            EpochRecord(epoch=epoch, loss=8 - 0.2 * epoch, steps=run, seconds=spent, phases=phases, metrics=metrics)
        )
    return Measurement(
        method=method,
        batch_size=batch,
        steps_per_epoch=whole,
        epochs=records,
        parameters=TunedShare(trainable=trainable, total=trainable + (0 if method == "id" else 190_000_000)),
        peak_memory=round(memory * GIB),
        memory_kind="cuda_allocated",
        energy=None if method == "id" else 300 * seconds * epochs * run / whole,
        encoding=EncodingCost(seconds=61.5, items=5_314, measured_items=1_024)
        if method in ("iisan", "frozen")
        else None,
        test_metrics={"HR@10": quality / 100, "NDCG@10": 0.55 * quality / 100, "MRR": 0.4 * quality / 100},
        best_epoch=epochs - 1,
        gates=gates() if side else {},
        versions={"iisan": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0", "python": "3.11.9"},
        device="NVIDIA H100 80GB HBM3",
    )
