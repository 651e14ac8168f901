"""Peak memory of a piece of work: what the CUDA allocator held, or what the process took from the system."""

from __future__ import annotations

import logging
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

logger = logging.getLogger(__name__)

MemoryKind = Literal["cuda_allocated", "process_resident"]
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
# What the kernel takes as "forget the peak so far" (proc(5)).
_RESET_PEAK = "5"


@dataclass(frozen=True, slots=True)
class PeakMemory:
    """Peak memory in bytes.

    Attributes:
        bytes: On CUDA the most that tensors held at once; on the CPU the most that the process held above what it held
            when the meter was started.
        kind: Which of the two.
    """

    bytes: int
    kind: MemoryKind


class MemoryMeter:
    """Measures from its making to :meth:`peak`.

    On the CPU, memory that the process freed before but did not give back to the system is used again unseen, so each
    method is to be measured in a process of its own.

    Args:
        device: Whose memory.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
        else:
            _forget_peak()
            self.start = resident_bytes()

    def peak(self) -> PeakMemory:
        """The peak so far."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            return PeakMemory(int(torch.cuda.max_memory_allocated(self.device)), "cuda_allocated")
        return PeakMemory(max(0, peak_resident_bytes() - self.start), "process_resident")


def resident_bytes() -> int:
    """Memory that the process holds now; its peak where the system does not tell."""
    return _status_bytes("VmRSS") or _largest_ever()


def peak_resident_bytes() -> int:
    """The most memory that the process held, since its start or the last meter's."""
    return _status_bytes("VmHWM") or _largest_ever()


def _forget_peak() -> None:
    try:
        _CLEAR.write_text(_RESET_PEAK, encoding="ascii")
    except OSError as error:
        logger.info("the peak of memory cannot be reset (%s): work before the meter counts too", error)


def _status_bytes(field: str) -> int | None:
    try:
        lines = _STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:")), None)


def _largest_ever() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
