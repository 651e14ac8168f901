"""Where and how precisely to compute."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch

from iisan.errors import UserError


def resolve_device(name: str) -> torch.device:
    """The device that a name stands for; ``"auto"`` is CUDA where there is one.

    Raises:
        UserError: The device does not exist on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.ones(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device {name!r} is not usable here", where="device", how="try auto or cpu") from error
    return device


def forward_precision(precision: str, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """The context of a forward pass: bfloat16 products with fp32 weights, or plain fp32."""
    if precision == "bfloat16" or (precision == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported()):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def full_precision(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """The context of a loss: logits reach into the tens, where bfloat16 is coarse."""
    return torch.autocast(device.type, enabled=False)


def memory_in_use(device: torch.device) -> int | None:
    """Bytes in use: peak of the CUDA allocator, or resident memory of the process; None where neither is known."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024
