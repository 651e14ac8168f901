"""Forward and backward passes that are recorded once for each shape and then replayed as one CUDA graph."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from iisan.training.device import forward_precision
from iisan.training.padded_step import padded_in_batch_loss
from iisan.training.step import InBatchStep
from iisan.training.trained_state import trained_parameters

logger = logging.getLogger(__name__)

# Distinct items are filled up to a multiple of this, so that an epoch needs a few graphs at most.
BUCKET = 256
# Passes before recording, in which libraries choose their algorithms and allocate their work space.
WARM_UP = 3

Whole = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class _Recorded:
    graph: torch.cuda.CUDAGraph
    loss: Tensor
    gradients: list[Tensor | None]


class GraphedSteps:
    """The gradients of in-batch steps over the same windows.

    A step of this model is hundreds of small kernels, and to launch them one by one takes longer than to run them. A
    graph of them is launched at once. What it reads are the numbers of the batch's windows; all else is on the device,
    so the host never waits. Other devices than CUDA run the same passes without recording them, and so does CUDA, after
    a warning, where a pass cannot be recorded.

    Args:
        step: Its source must give states on the device without asking the host.
        windows: ``[W, L + 1]`` all training windows.
        batch_size: Windows a step; a shorter batch is filled up with windows of padding.
        precision: As in `TrainConfig`.
    """

    def __init__(self, step: InBatchStep, windows: Whole, batch_size: int, precision: str) -> None:
        self.step = step
        self.precision = precision
        self.device = step.model.device
        self.parameters: list[nn.Parameter] = trained_parameters(step.model)
        self._host_windows = windows
        padding = np.zeros((1, windows.shape[1]), windows.dtype)
        self._windows = torch.from_numpy(np.concatenate([windows, padding])).to(self.device)  # [W + 1, L + 1]
        self._numbers = torch.full((batch_size,), len(windows), device=self.device)
        self._recorded: dict[int, _Recorded] = {}
        self._pool: Any = None
        self._records = self.device.type == "cuda"

    def __call__(self, batch: Whole) -> Tensor:
        """Leaves the gradients of a batch of windows in the parameters, and returns the loss on the device."""
        numbers = torch.full((len(self._numbers),), len(self._host_windows))
        numbers[: len(batch)] = torch.from_numpy(batch)
        n_items = self._bucket(batch)
        self._numbers.copy_(numbers.pin_memory() if self.device.type == "cuda" else numbers, non_blocking=True)
        recorded = self._graph_of(n_items)
        if recorded is None:
            return self._pass(n_items)
        recorded.graph.replay()
        for parameter, gradient in zip(self.parameters, recorded.gradients, strict=True):
            parameter.grad = gradient
        return recorded.loss.clone()

    def _graph_of(self, n_items: int) -> _Recorded | None:
        """The graph of a bucket, recorded when it is first needed; None where steps are not recorded."""
        if self._records and n_items not in self._recorded:
            try:
                self._recorded[n_items] = self._record(n_items)
            except torch.cuda.OutOfMemoryError:
                raise
            except RuntimeError as error:
                self._records = False
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                logger.warning("steps are launched one by one, since they cannot be recorded (%s)", reason)
        return self._recorded.get(n_items) if self._records else None

    def _bucket(self, batch: Whole) -> int:
        """How many items a step encodes: those of the batch, counted by the host, and some to fill up."""
        distinct = len(np.unique(self._host_windows[batch]))
        return min(-(-distinct // BUCKET) * BUCKET, len(self._numbers) * self._windows.shape[1])

    def _pass(self, n_items: int) -> Tensor:
        for parameter in self.parameters:
            parameter.grad = None
        with forward_precision(self.precision, self.device):
            loss = padded_in_batch_loss(self.step, self._windows[self._numbers], n_items)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _record(self, n_items: int) -> _Recorded:
        logger.info("recording a step of %s items as a CUDA graph", n_items)
        # A run that goes on from a checkpoint must draw what it would have drawn without the passes of warming up.
        state = torch.cuda.get_rng_state(self.device)
        aside = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                self._pass(n_items)
        torch.cuda.current_stream(self.device).wait_stream(aside)
        torch.cuda.set_rng_state(state, self.device)
        graph = torch.cuda.CUDAGraph()
        for parameter in self.parameters:
            parameter.grad = None
        with torch.cuda.graph(graph, pool=self._pool):
            loss = self._pass(n_items)
        self._pool = graph.pool()
        return _Recorded(graph, loss, [parameter.grad for parameter in self.parameters])


def can_be_graphed(step: object, device: torch.device) -> bool:
    """Whether :class:`GraphedSteps` serves: in-batch steps on CUDA whose states are on the device."""
    return device.type == "cuda" and isinstance(step, InBatchStep) and bool(getattr(step.source, "resident", False))
