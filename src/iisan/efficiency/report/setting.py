"""How methods were measured: the facts that a report states beside its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from iisan.efficiency.measurement import Measurement
from iisan.efficiency.memory_meter import MemoryKind

Fact = tuple[str, str]

MEMORY_KINDS: dict[MemoryKind, str] = {
    "cuda_allocated": "the most that PyTorch's CUDA allocator had given out at once",
    "process_resident": "the most that the process held in main memory (RSS), above what it held at the start",
}


def setting_facts(measured: Sequence[Measurement], given: Mapping[str, str]) -> tuple[Fact, ...]:
    """Names and values: first those given, then what the measurements tell."""
    facts = list(given.items())
    if measured:
        facts += [
            ("Machine", _each(one.device for one in measured)),
            ("Versions", _versions(measured)),
            ("Budget", _budget(measured)),
            ("Batch size", _batches(measured)),
            ("Memory", _each(MEMORY_KINDS[one.memory_kind] for one in measured)),
        ]
    return tuple(facts)


def _versions(measured: Sequence[Measurement]) -> str:
    names = dict.fromkeys(name for one in measured for name in one.versions)
    found = {name: [one.versions[name] for one in measured if name in one.versions] for name in names}
    return ", ".join(f"{name} {' or '.join(dict.fromkeys(values))}" for name, values in found.items())


def _budget(measured: Sequence[Measurement]) -> str:
    epochs = _count(_range(len(one.epochs) for one in measured), "epoch")
    partial = [record.steps for one in measured for record in one.epochs if record.steps < one.steps_per_epoch]
    if not partial:
        return f"{epochs} a method"
    steps = _count(_range(partial), "step")
    whole = _range(one.steps_per_epoch for one in measured)
    return f"{epochs} a method, of {steps} instead of the {whole} of a whole one; their seconds are scaled up to it"


def _batches(measured: Sequence[Measurement]) -> str:
    sizes = list(dict.fromkeys(one.batch_size for one in measured))
    if len(sizes) == 1:
        return f"{sizes[0]} users"
    methods = {size: [one.method for one in measured if one.batch_size == size] for size in sizes}
    return "; ".join(f"{size} users ({', '.join(names)})" for size, names in methods.items())


def _each(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(values))


def _range(numbers: Iterable[int]) -> str:
    found = sorted(set(numbers))
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"


def _count(number: str, what: str) -> str:
    return f"{number} {what}" if number == "1" else f"{number} {what}s"
