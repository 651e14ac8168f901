"""Steps of a few shapes only, which a CUDA device runs without the host waiting, and as one graph each where it can."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from iisan.states.sources import is_resident, prefetching
from iisan.training.batch_items import BatchItems
from iisan.training.device import forward_precision
from iisan.training.losses.full_softmax import draws_numbers
from iisan.training.padded_step import Step, assembled, most_items, padded_loss
from iisan.training.step import FullSoftmaxStep
from iisan.training.trained_state import trained_parameters

logger = logging.getLogger(__name__)

# Distinct items are filled up to a multiple of this, so that an epoch needs a few graphs at most.
BUCKET = 256
# Passes before recording, in which libraries choose their algorithms and allocate their work space.
WARM_UP = 3

Whole = np.ndarray[Any, np.dtype[Any]]
Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Recorded:
    graph: torch.cuda.CUDAGraph
    batch: BatchItems
    loss: Tensor
    gradients: list[Tensor | None]


class FixedSteps:
    """The gradients of steps over the same windows, in fixed shapes.

    The host finds out which items a batch has and sends their numbers to the device, without waiting for it. A step of
    this model is hundreds of small kernels, and to launch them one by one takes longer than to run them; so they are
    recorded once for each number of items and then launched at once. Where a pass cannot be recorded, it is launched
    kernel by kernel, after a warning if that was not clear from the start.

    Args:
        step: Its source gives states without asking the device.
        windows: ``[W, L + 1]`` all training windows.
        batch_size: Windows a step; a shorter batch is filled up with windows of padding.
        precision: As in `TrainConfig`.
        seed: Of what is drawn for a batch.
        records: Whether passes are to be recorded.
    """

    def __init__(
        self, step: Step, windows: Whole, batch_size: int, precision: str, *, seed: int, records: bool
    ) -> None:
        self.step = step
        self.precision = precision
        self.records = records
        self._device = step.model.device
        self._parameters: list[nn.Parameter] = trained_parameters(step.model)
        self._windows = torch.from_numpy(windows)
        self._batch_size = batch_size
        self._seed = seed
        # A source that is told beforehand is told, and asked, by the host.
        self._source = prefetching(step.source)
        self._expected: dict[Place, BatchItems] = {}
        self._recorded: dict[int, _Recorded] = {}
        self._pool: Any = None

    def __call__(self, batch: Whole, place: Place) -> tuple[Tensor, int]:
        """Leaves the gradients of a batch of windows in the parameters.

        Args:
            batch: ``[at most B]`` numbers of its windows.
            place: The epoch and the step in it, which what is drawn depends on.

        Returns:
            The loss, on the device, and the number of its predictions.
        """
        items = self._assembled(batch, place)
        return self._loss(items), int(items.predicted.sum())

    def expect(self, batch: Whole, place: Place) -> None:
        """Has the states of a step read while another is computed, where they come from elsewhere."""
        if self._source is None or isinstance(self.step, FullSoftmaxStep):
            return
        items = self._assembled(batch, place)
        self._expected[place] = items
        self._source.expect(items.rows)

    def forget(self) -> None:
        """Lets go of what is expected."""
        self._expected.clear()
        if self._source is not None:
            self._source.forget()

    def _assembled(self, batch: Whole, place: Place) -> BatchItems:
        if place in self._expected:
            return self._expected.pop(place)
        windows = self._windows[torch.from_numpy(batch)]
        seed = np.random.SeedSequence([self._seed, *place]).generate_state(1, np.uint32)
        items = assembled(self.step, windows, int(seed[0]))
        bucket = -(-len(items.rows) // BUCKET) * BUCKET
        return items.filled(min(bucket, most_items(self.step, self._batch_size * windows.shape[1])), self._batch_size)

    def _loss(self, items: BatchItems) -> Tensor:
        recorded = self._graph_of(items)
        if recorded is None:
            return self._pass(items.on(self._device), None if self._source is None else items.rows)
        recorded.batch.copy_(items)
        recorded.graph.replay()
        for parameter, gradient in zip(self._parameters, recorded.gradients, strict=True):
            parameter.grad = gradient
        return recorded.loss.clone()

    def _graph_of(self, items: BatchItems) -> _Recorded | None:
        """The graph of a number of items, recorded when it is first needed; None where passes are not recorded."""
        n_items = len(items.rows)
        if self.records and n_items not in self._recorded:
            try:
                self._recorded[n_items] = self._record(items)
            except torch.cuda.OutOfMemoryError:
                raise
            except RuntimeError as error:
                self.records = False
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                logger.warning("steps are launched one by one, since they cannot be recorded (%s)", reason)
        return self._recorded.get(n_items) if self.records else None

    def _pass(self, batch: BatchItems, asked: Tensor | None = None) -> Tensor:
        for parameter in self._parameters:
            parameter.grad = None
        with forward_precision(self.precision, self._device):
            loss = padded_loss(self.step, batch, asked)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _record(self, items: BatchItems) -> _Recorded:
        logger.info("recording a step of %s items as a CUDA graph", len(items.rows) or "all")
        batch = items.on(self._device)
        # A run that goes on from a checkpoint must draw what it would have drawn without the passes of warming up.
        state = torch.cuda.get_rng_state(self._device)
        aside = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                self._pass(batch)
        torch.cuda.current_stream(self._device).wait_stream(aside)
        torch.cuda.set_rng_state(state, self._device)
        graph = torch.cuda.CUDAGraph()
        for parameter in self._parameters:
            parameter.grad = None
        with torch.cuda.graph(graph, pool=self._pool):
            loss = self._pass(batch)
        self._pool = graph.pool()
        return _Recorded(graph, batch, loss, [parameter.grad for parameter in self._parameters])


def takes_fixed_shapes(step: Step, device: torch.device) -> bool:
    """Whether :class:`FixedSteps` serves: on CUDA, where states are on the device or are brought there beforehand.

    Others come from encoders that run for each batch, to which items that only fill up would be work like any other.
    """
    return device.type == "cuda" and (is_resident(step.source) or prefetching(step.source) is not None)


def can_be_recorded(step: Step, *, sparse: bool) -> bool:
    """Whether a pass has what a CUDA graph needs; if not, why is logged.

    Args:
        step: What is trained.
        sparse: Whether gradients of items are sparse.
    """
    reason = None
    if not is_resident(step.source):
        reason = "their states are not on the device"
    elif sparse:
        reason = "their gradients are sparse"
    elif isinstance(step, FullSoftmaxStep) and draws_numbers(step.model):
        reason = "what is computed twice must draw the same numbers twice"
    if reason is not None:
        logger.info("steps are launched one by one, not as CUDA graphs: %s", reason)
    return reason is None
