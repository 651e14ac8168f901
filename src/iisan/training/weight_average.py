"""An exponential moving average of the weights: smoother than any single step's, and better on held-out data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from iisan.training.row_average import RowAverage


class WeightAverage:
    """Follows the trained parameters of a model.

    Early on the average is short, ``(n + 1) / (n + 10)`` after ``n`` steps, so that it does not hold on to the start.

    Args:
        model: Its parameters are followed.
        decay: Share of the old average that each step keeps, once warmed up.
        table: Of these parameters the one of which each step moves few rows, if any; its gradients are sparse.
    """

    def __init__(self, model: nn.Module, decay: float, table: nn.Parameter | None = None) -> None:
        followed = [(name, one) for name, one in model.named_parameters() if one.requires_grad and one is not table]
        self.names = [name for name, _ in followed]
        self.parameters = [parameter for _, parameter in followed]
        self.values = [parameter.detach().clone() for parameter in self.parameters]
        self.rows = None if table is None else RowAverage(table)
        self.decay = decay
        self.n_steps = 0

    def before_step(self) -> None:
        """Looks at what the optimiser is about to move; needed where there is a `table`."""
        if self.rows is not None:
            self.rows.before_step()

    @torch.no_grad()
    def update(self) -> None:
        """Takes the parameters after an optimiser step."""
        decay = min(self.decay, (self.n_steps + 1) / (self.n_steps + 10))
        torch._foreach_lerp_(self.values, list(self.parameters), 1 - decay)
        if self.rows is not None:
            self.rows.after_step(decay)
        self.n_steps += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Puts the average into the model for a while."""
        trained = [parameter.detach().clone() for parameter in self._all_parameters()]
        self._put([*self.values, *([] if self.rows is None else [self.rows.current()])])
        try:
            yield
        finally:
            self._put(trained)

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint needs, by name."""
        rows = {} if self.rows is None else self.rows.state()
        return {**dict(zip(self.names, self.values, strict=True)), **rows, "n_steps": torch.tensor(self.n_steps)}

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        """Takes back what :meth:`state` gave.

        Raises:
            KeyError: A parameter is missing.
        """
        for name, value in zip(self.names, self.values, strict=True):
            value.copy_(state[name])
        if self.rows is not None:
            self.rows.load(state)
        self.n_steps = int(state["n_steps"])

    def _all_parameters(self) -> list[nn.Parameter]:
        return self.parameters if self.rows is None else [*self.parameters, self.rows.table]

    @torch.no_grad()
    def _put(self, values: list[Tensor]) -> None:
        for parameter, value in zip(self._all_parameters(), values, strict=True):
            parameter.copy_(value)
