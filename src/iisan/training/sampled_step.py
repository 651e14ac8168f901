"""One forward pass of training by the sampled softmax."""

from __future__ import annotations

from torch import Tensor

from iisan.data.split import Split
from iisan.models.recommender import Recommender
from iisan.states.phases import PhaseObserver, Unobserved
from iisan.states.sources import ItemStates, StateSource
from iisan.training.batch_items import BatchItems
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
            batch = BatchItems.drawn(windows, self.negatives.draw().to(windows.device))
            states = self.source.gather(batch.rows)
        with self.observer.phase("forward"):
            return self._forward(batch, states)

    def _forward(self, batch: BatchItems, states: dict[str, ItemStates]) -> tuple[Tensor, int]:
        items, user_states = self.model(states, batch.rows, batch.inputs)
        predicted = batch.predicted
        targets = batch.slots[:, 1:][predicted] - 1
        with full_precision(items.device):
            offsets = self.negatives.offsets(batch.rows, batch.counts)
            loss = sampled_softmax_loss(user_states[predicted].float(), targets, items.float(), offsets)
        return loss, len(targets)
