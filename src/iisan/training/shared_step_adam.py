"""Adam that counts its steps once, not once for each parameter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor


@dataclass(frozen=True)
class _Moments:
    """Parameters of one group with what Adam keeps of them, in one order."""

    group: dict[str, Any]
    parameters: list[Tensor]
    first: list[Tensor]
    second: list[Tensor]


class SharedStepAdam(torch.optim.Adam):
    """Fused Adam or AdamW; its steps are those of torch's own to the last bit, and so is the state that it saves.

    torch's Adam goes through all parameters in Python at each step, to collect their moments and to add one to a
    counter of each. A side network has many small parameters: on a CPU that takes a quarter of an update. Here the
    moments stay collected and one counter serves all, for as long as every parameter gets a gradient in every step.
    From the first step in which one gets none, counters differ and torch's own way is taken; on other devices always.

    Args:
        groups: As of :class:`torch.optim.Adam`, with ``lr`` and ``weight_decay`` each.
        decoupled: Weight decay as in AdamW.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], decoupled: bool) -> None:
        self._forget()
        super().__init__(groups, fused=True, decoupled_weight_decay=decoupled)
        self._update = torch._fused_adamw_ if decoupled else torch._fused_adam_

    def _forget(self) -> None:
        """Makes the next step look at the state anew."""
        self._moments: list[_Moments] | None = None
        self._count = torch.zeros(())  # steps; ahead of the parameters' own counters while `_moments` are there
        self._counts_differ = False

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Takes one step.

        Args:
            closure: As of :meth:`torch.optim.Adam.step`.
        """
        if closure is not None or not self._share():
            self._write_counts()
            self._moments = None
            return cast("float | None", super().step(closure))
        self._count += 1
        for moments in self._moments or []:
            beta1, beta2 = moments.group["betas"]
            self._update(
                moments.parameters,
                [cast(Tensor, parameter.grad) for parameter in moments.parameters],
                moments.first,
                moments.second,
                [],
                [self._count] * len(moments.parameters),
                lr=moments.group["lr"],
                beta1=beta1,
                beta2=beta2,
                weight_decay=moments.group["weight_decay"],
                eps=moments.group["eps"],
                amsgrad=False,
                maximize=False,
            )
        return None

    def _share(self) -> bool:
        """Whether one counter is true for all parameters in the step to come; collects their moments if need be."""
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        if self._counts_differ or any(parameter.grad is None for parameter in parameters):
            return False
        if self._moments is not None:
            return True
        if any(parameter not in self.state or parameter.device.type != "cpu" for parameter in parameters):
            return False
        counts = {float(self.state[parameter]["step"]) for parameter in parameters}
        self._counts_differ = len(counts) > 1
        if self._counts_differ:
            return False
        self._count = torch.tensor(counts.pop() if counts else 0.0)
        self._moments = [self._collected(group) for group in self.param_groups]
        return True

    def _collected(self, group: dict[str, Any]) -> _Moments:
        states = [self.state[parameter] for parameter in group["params"]]
        first, second = [state["exp_avg"] for state in states], [state["exp_avg_sq"] for state in states]
        return _Moments(group, list(group["params"]), first, second)

    def _write_counts(self) -> None:
        for moments in self._moments or []:
            for parameter in moments.parameters:
                self.state[parameter]["step"].copy_(self._count)

    def state_dict(self) -> dict[str, Any]:
        """As of :class:`torch.optim.Adam`."""
        self._write_counts()
        return super().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As of :class:`torch.optim.Adam`."""
        super().load_state_dict(state_dict)
        self._forget()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As of :class:`torch.optim.Adam`."""
        self._write_counts()
        self._forget()
        super().add_param_group(param_group)
