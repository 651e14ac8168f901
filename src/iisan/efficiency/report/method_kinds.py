"""What the methods' names say about them."""

from __future__ import annotations

from iisan.efficiency.measurement import Measurement

CACHED = "iisan"
PEFT_PREFIX = "peft:"
_ADAPTED = {"full", "adapter", "lora", "bitfit", "iisan-uncached", CACHED}
_MEANINGS = {
    "full": "every weight of the encoders is trained",
    "adapter": "bottlenecks inside the encoders' layers are trained",
    "lora": "low-rank additions to the encoders' attention are trained",
    "bitfit": "the encoders' biases are trained",
    "frozen": "a linear head on the encoders' last hidden states is trained",
    "iisan-uncached": "side networks are trained; the encoders run in every step, without gradients",
    CACHED: "side networks are trained on hidden states that were stored once (IISAN cached)",
    "id": "a vector an item is trained; no content is read",
}


def is_adapted(method: str) -> bool:
    """Whether a method adapts the encoders; the frozen head and item ids are yardsticks."""
    return method in _ADAPTED or method.startswith(PEFT_PREFIX)


def runs_encoders(measurement: Measurement) -> bool:
    """Whether the encoders ran in every step of training."""
    return is_adapted(measurement.method) and measurement.encoding is None


def meaning(method: str) -> str:
    """What is trained, in a few words; empty for a method that is not known here."""
    if method.startswith(PEFT_PREFIX):
        return f"what {method.removeprefix(PEFT_PREFIX)} of the package peft adds to the encoders is trained"
    return _MEANINGS.get(method, "")
