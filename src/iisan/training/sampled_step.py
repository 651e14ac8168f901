"""One forward pass of training by the sampled softmax."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from iisan.data.split import Split
from iisan.models.recommender import Recommender
from iisan.states.phases import PhaseObserver, Unobserved
from iisan.states.sources import ItemStates, StateSource
from iisan.training.device import full_precision
from iisan.training.losses.negatives import Negatives
from iisan.training.losses.sampled_softmax import sampled_softmax_loss


class SampledSoftmaxStep:
    """Encodes the distinct items of a batch and of the draws, and scores every prediction against the draws.

    Args:
        model: The recommender.
        source: Hidden states by catalogue row.
        split: Its candidates that are not held out are drawn from, half of the draws by their training interactions.
        n_draws: Draws a step, shared by the whole batch.
        observer: Is told when data are gathered and when the model runs.
    """

    def __init__(
        self,
        model: Recommender,
        source: StateSource,
        split: Split,
        n_draws: int,
        observer: PhaseObserver | None = None,
    ) -> None:
        self.model = model
        self.source = source
        self.observer = observer or Unobserved()
        self.negatives = Negatives(split.train_candidates, split.train_counts, n_draws, model.device)

    def __call__(self, windows: Tensor) -> tuple[Tensor, int]:
        """Loss of ``[B, L + 1]`` windows (catalogue row + 1, 0 is padding) and the number of its predictions."""
        with self.observer.phase("data"):
            batch = _Drawn.of(windows, self.negatives.draw())
            states = self.source.gather(batch.rows)
        with self.observer.phase("forward"):
            return self._forward(batch, states)

    def _forward(self, batch: _Drawn, states: dict[str, ItemStates]) -> tuple[Tensor, int]:
        items, user_states = self.model(states, batch.rows, batch.slots[:, :-1])
        predicted = batch.slots[:, :-1] > 0
        targets = batch.slots[:, 1:][predicted] - 1
        with full_precision(items.device):
            offsets = self.negatives.offsets(batch.rows, batch.drawn)
            loss = sampled_softmax_loss(user_states[predicted].float(), targets, items.float(), offsets)
        return loss, len(targets)


@dataclass(frozen=True, slots=True)
class _Drawn:
    """The distinct items of a batch and of what was drawn for it.

    Attributes:
        rows: ``[n]`` catalogue rows, ascending.
        slots: ``[B, L + 1]`` index of each slot into `rows`, plus one; 0 is padding.
        drawn: ``[n]`` float, how often each item was drawn.
    """

    rows: Tensor
    slots: Tensor
    drawn: Tensor

    @classmethod
    def of(cls, windows: Tensor, draws: Tensor) -> _Drawn:
        # A padding slot is put in front, so that item k of the batch has number k + 1 whether there is padding or not.
        numbers = torch.cat([windows.new_zeros(1), windows.flatten(), (draws + 1).to(windows.dtype)])
        distinct, inverse = torch.unique(numbers, return_inverse=True)
        drawn = torch.zeros(len(distinct), device=windows.device)
        ones = torch.ones(len(draws), device=windows.device)
        drawn.index_add_(0, inverse[1 + windows.numel() :], ones)
        slots = inverse[1 : 1 + windows.numel()].view(windows.shape)
        return cls(rows=distinct[1:].long() - 1, slots=slots, drawn=drawn[1:])
