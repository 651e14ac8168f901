"""Adam for one vector an item where a step must not cost more the larger the catalogue is."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from iisan.training.row_gradient import of_each_row, summed_by_row

BETA = 0.999
EPSILON = 1e-8


class BatchAdam:
    """Moves the vectors of a batch's items and leaves all others alone.

    Adam with momentum goes on moving a vector for some twenty steps after the one step that had a gradient for it, so
    each of its steps walks over the whole table. Here the vector goes all the way at once: the first moment is left
    out (beta1 of zero), which moves it as far in sum. The second moment is the one that Adam would have, caught up with
    when the item comes again. Weight decay happens when a vector is moved.

    Args:
        table: The vectors; its gradients become sparse.
        learning_rate: As in Adam.
        weight_decay: Decoupled, as in AdamW.
    """

    def __init__(self, table: nn.Embedding, learning_rate: float, weight_decay: float = 0.0) -> None:
        table.sparse = True
        self.weight = cast(nn.Parameter, table.weight)  # [N, d]
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.second = torch.zeros_like(self.weight, requires_grad=False)  # [N, d] mean of squared gradients
        self.last = torch.zeros(len(self.weight), dtype=torch.int32, device=self.weight.device)  # [N] step of `second`
        self.n_steps = 0

    def collect(self) -> None:
        """Sums the gradient of each item, after a backward pass; the methods of others then rely on it."""
        if self.weight.grad is not None:
            self.weight.grad = summed_by_row(self.weight.grad)

    @torch.no_grad()
    def step(self) -> None:
        """Takes one step."""
        self.n_steps += 1
        if self.weight.grad is None:
            return
        rows, gradient = of_each_row(self.weight.grad)  # [n], [n, d]
        kept = (BETA ** (self.n_steps - self.last[rows]).double()).to(gradient.dtype).unsqueeze(1)  # [n, 1]
        second = (self.second[rows] * kept).addcmul_(gradient, gradient, value=1 - BETA)
        self.second[rows] = second
        self.last.index_fill_(0, rows, self.n_steps)
        size = second.div_(1 - BETA**self.n_steps).sqrt_().add_(EPSILON)
        vectors = self.weight[rows] * (1 - self.learning_rate * self.weight_decay)
        self.weight[rows] = vectors.addcdiv_(gradient, size, value=-self.learning_rate)

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint needs, by name."""
        return {"second": self.second, "last": self.last, "n_steps": torch.tensor(self.n_steps)}

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        """Takes back what :meth:`state` gave.

        Raises:
            KeyError: A part is missing.
        """
        self.second.copy_(state["second"])
        self.last.copy_(state["last"])
        self.n_steps = int(state["n_steps"])
