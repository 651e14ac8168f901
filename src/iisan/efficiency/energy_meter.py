"""Energy that a CUDA device takes, as the driver counts it."""

from __future__ import annotations

import logging
from typing import Any

import torch

logger = logging.getLogger(__name__)


class EnergyMeter:
    """Measures from its making to :meth:`joules`, by NVML (package ``nvidia-ml-py``); the whole device is counted.

    Args:
        device: Whose energy.
    """

    def __init__(self, device: torch.device) -> None:
        self._read = _counter(device)
        self._start = None if self._read is None else self._read()

    def joules(self) -> float | None:
        """Energy so far, None where the device or the driver does not tell."""
        return None if self._read is None or self._start is None else (self._read() - self._start) / 1000


def _counter(device: torch.device) -> Any:
    """A function that gives the device's total in millijoules, or None."""
    if device.type != "cuda":
        return None
    try:
        import pynvml

        pynvml.nvmlInit()
        index = torch.cuda.current_device() if device.index is None else device.index
        uuid = f"GPU-{torch.cuda.get_device_properties(index).uuid}"
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except ImportError:
        logger.info("energy is not measured: install nvidia-ml-py")
        return None
    except pynvml.NVMLError as error:
        logger.info("energy is not measured: NVML says %s", error)
        return None
    return lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
