"""One forward pass of training: a batch of windows in, its loss out."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from iisan.data.split import Split, popularity
from iisan.models.recommender import Recommender
from iisan.states.phases import PhaseObserver, Unobserved
from iisan.states.sources import ItemStates, StateSource, is_resident
from iisan.training.batch_items import BatchItems
from iisan.training.device import full_precision
from iisan.training.losses.full_softmax import embed_catalogue, full_softmax_loss
from iisan.training.losses.in_batch import in_batch_loss
from iisan.training.losses.own_items import own_items


class InBatchStep:
    """Encodes the distinct items of a batch and scores them against each other (contract point 9).

    Args:
        model: The recommender.
        source: Hidden states by catalogue row.
        split: Gives the popularity of training items.
        observer: Is told when data are gathered and when the model runs.
    """

    def __init__(
        self, model: Recommender, source: StateSource, split: Split, observer: PhaseObserver | None = None
    ) -> None:
        self.model = model
        self.source = source
        self.observer = observer or Unobserved()
        with np.errstate(divide="ignore"):
            log_popularity = np.log(popularity(split))
        self.log_popularity = torch.from_numpy(log_popularity).float().to(model.device)  # [N]

    def __call__(self, windows: Tensor) -> tuple[Tensor, int]:
        """Loss of ``[B, L + 1]`` windows (catalogue row + 1, 0 is padding) and the number of its predictions."""
        with self.observer.phase("data"):
            batch = BatchItems.of(windows)
            states = self.source.gather(batch.rows)
        with self.observer.phase("forward"):
            return self._forward(batch, states)

    def _forward(self, batch: BatchItems, states: dict[str, ItemStates]) -> tuple[Tensor, int]:
        items, user_states = self.model(states, batch.rows, batch.inputs)
        owners, positions = batch.predicted.nonzero(as_tuple=True)
        targets = batch.slots[:, 1:][owners, positions] - 1
        with full_precision(items.device):
            loss = in_batch_loss(
                user_states[owners, positions].float(),
                targets,
                items.float(),
                self.log_popularity[batch.rows],
                batch.counts,
                own_items(batch.slots, owners, targets),
            )
        return loss, len(owners)


class FullSoftmaxStep:
    """Encodes the whole catalogue and scores every prediction against it.

    Args:
        model: The recommender.
        source: Hidden states by catalogue row.
        split: Its candidates that are not held out are the catalogue.
        chunk: Items a pass through the item encoder.
        observer: Is told when the model runs; its data are gathered there, chunk by chunk.
    """

    def __init__(
        self,
        model: Recommender,
        source: StateSource,
        split: Split,
        chunk: int,
        observer: PhaseObserver | None = None,
    ) -> None:
        self.model = model
        self.source = source
        self.chunk = chunk
        self.observer = observer or Unobserved()
        rows = torch.from_numpy(split.train_candidates)  # [C]
        self.rows = rows.to(model.device)
        # A source that fetches states from elsewhere would have to ask the device which rows it is asked for.
        self.asked = self.rows if is_resident(source) else rows
        self._slot_of = torch.zeros(split.n_items + 1, dtype=torch.long)  # [N + 1]
        self._slot_of[rows + 1] = torch.arange(1, len(rows) + 1)

    def __call__(self, windows: Tensor) -> tuple[Tensor, int]:
        """Loss of ``[B, L + 1]`` windows (catalogue row + 1, 0 is padding) and the number of its predictions."""
        with self.observer.phase("forward"):
            return self._forward(self.slots_of(windows))

    def slots_of(self, windows: Tensor) -> Tensor:
        """``[B, L + 1]`` windows as places in the catalogue that is ranked, plus one; 0 is padding."""
        return self._slot_of[windows.long().cpu()].to(windows.device)

    def _forward(self, slots: Tensor) -> tuple[Tensor, int]:
        items = embed_catalogue(self.model, self.source, self.rows, self.chunk, asked=self.asked)
        user_states = self.model.user_states(items, slots[:, :-1])
        predicted = slots[:, :-1] > 0
        with full_precision(items.device):
            loss = full_softmax_loss(user_states[predicted].float(), slots[:, 1:][predicted] - 1, items.float())
        return loss, int(predicted.sum())
