"""An exponential moving average of the weights: smoother than any single step's, and better on held-out data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """Follows the trained parameters of a model.

    Early on the average is short, ``(n + 1) / (n + 10)`` after ``n`` steps, so that it does not hold on to the start.

    Args:
        model: Its parameters are followed.
        decay: Share of the old average that each step keeps, once warmed up.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.values = [parameter.detach().clone() for parameter in self.parameters]
        self.decay = decay
        self.n_steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """Takes the parameters after an optimiser step."""
        decay = min(self.decay, (self.n_steps + 1) / (self.n_steps + 10))
        torch._foreach_lerp_(self.values, list(self.parameters), 1 - decay)
        self.n_steps += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Puts the average into the model for a while."""
        trained = [parameter.detach().clone() for parameter in self.parameters]
        self._put(self.values)
        try:
            yield
        finally:
            self._put(trained)

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint needs, by name."""
        return {**dict(zip(self.names, self.values, strict=True)), "n_steps": torch.tensor(self.n_steps)}

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        """Takes back what :meth:`state` gave.

        Raises:
            KeyError: A parameter is missing.
        """
        for name, value in zip(self.names, self.values, strict=True):
            value.copy_(state[name])
        self.n_steps = int(state["n_steps"])

    @torch.no_grad()
    def _put(self, values: list[Tensor]) -> None:
        for parameter, value in zip(self.parameters, values, strict=True):
            parameter.copy_(value)
