"""Memory that a process may still take."""

from __future__ import annotations

from pathlib import Path

import torch

_SYSTEM = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


def available_bytes(device: torch.device) -> int | None:
    """Memory that is free on a device: CUDA's own, or the system's, less where a container may have less.

    Returns:
        None where the system does not tell.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    known = [free for free in (_system_bytes(), _group_bytes()) if free is not None]
    return min(known, default=None)


def _system_bytes() -> int | None:
    fields = _fields(_SYSTEM)
    return fields["MemAvailable"] * 1024 if "MemAvailable" in fields else None


def _group_bytes() -> int | None:
    """What the control group leaves; pages of files that were read long ago can be dropped and count as free."""
    try:
        limit = (_GROUP / "memory.max").read_text(encoding="ascii").strip()
        used = int((_GROUP / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    if not limit.isdecimal():
        return None
    return max(0, int(limit) - used + _fields(_GROUP / "memory.stat").get("inactive_file", 0))


def _fields(path: Path) -> dict[str, int]:
    """Lines such as ``MemAvailable:  123 kB`` or ``inactive_file 123``."""
    try:
        lines = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
    except OSError:
        return {}
    return {words[0].rstrip(":"): int(words[1]) for words in lines if len(words) > 1 and words[1].isdecimal()}
