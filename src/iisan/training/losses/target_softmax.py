"""Cross-entropy of each prediction's target against many items, in memory that does not grow with their number.

Neither the matrix of all logits nor its gradient is ever held. Predictions are taken in groups; the gradients of a
group are computed along with its loss, while its logits are at hand, so that three products a group are all there is:
the logits, the gradient of the predictions and that of the items.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# Logits held at once. On a CPU a group should stay in the caches; a GPU wants few and large products.
LOGITS_AT_ONCE = {"cpu": 1 << 20, "cuda": 1 << 24}
# Smaller groups spend their time on reading the items, which are at least as large as the logits of this many.
SMALLEST_GROUP = 64


def target_softmax_loss(
    user_states: Tensor,
    targets: Tensor,
    items: Tensor,
    *,
    offsets: Tensor | None = None,
    target_offsets: Tensor | None = None,
    left_out: Tensor | None = None,
    group: int | None = None,
) -> Tensor:
    """Mean cross-entropy of targets among items.

    The logit of an item is its inner product with the user state plus its offset, that of the target its inner product
    plus ``target_offsets``.

    Args:
        user_states: ``[R, d]``, one row a prediction.
        targets: ``[R]`` int64, the row of each target in `items`.
        items: ``[n, d]``.
        offsets: ``[n]``, added to each item's logits where it is not the target; ``-inf`` takes it out. None: zeros.
        target_offsets: ``[R]``, added to the logits of the targets. None: zeros.
        left_out: ``[R, K]`` int64, rows in `items` that a prediction is not compared with. The target never is left
            out, so it may fill up a row of fewer than `K`.
        group: Predictions at once; by default what suits the device.

    Returns:
        The mean over the predictions, a scalar.
    """
    if group is None:
        group = max(SMALLEST_GROUP, LOGITS_AT_ONCE.get(user_states.device.type, 1 << 20) // max(1, len(items)))
    loss: Tensor = _TargetSoftmax.apply(  # type: ignore[no-untyped-call]
        user_states, items, targets, offsets, target_offsets, left_out, group
    )
    return loss


class _TargetSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        items: Tensor,
        targets: Tensor,
        offsets: Tensor | None,
        target_offsets: Tensor | None,
        left_out: Tensor | None,
        group: int,
    ) -> Tensor:
        wanted = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        of_states = torch.empty_like(states) if wanted else None  # [R, d]
        of_items = torch.zeros_like(items) if wanted else None  # [n, d]
        room = items.new_empty(min(group, len(states)), len(items))
        total = states.new_zeros(())
        for start in range(0, len(states), group):
            part = slice(start, start + group)
            columns = targets[part].unsqueeze(1)  # [g, 1]
            logits = room[: len(columns)]  # [g, n]
            torch.mm(states[part], items.T, out=logits)
            of_target = logits.gather(1, columns)
            if offsets is not None:
                logits += offsets
            if left_out is not None:
                logits.scatter_(1, left_out[part], -torch.inf)
            if target_offsets is not None:
                of_target += target_offsets[part].unsqueeze(1)
            logits.scatter_(1, columns, of_target)
            torch.log_softmax(logits, 1, out=logits)
            total -= logits.gather(1, columns).sum()
            if of_states is not None and of_items is not None:
                error = logits.exp_().scatter_add_(1, columns, torch.full_like(of_target, -1.0))
                torch.mm(error, items, out=of_states[part])
                of_items.addmm_(error.T, states[part])
        ctx.gradients = (of_states, of_items)
        return total / len(states)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.gradients is None:
            raise RuntimeError("the gradients of this loss were handed out already; compute the loss again")
        of_states, of_items = ctx.gradients
        ctx.gradients = None  # scaled in place: another [n, d] is a lot for a large catalogue
        share = gradient / len(of_states)
        return of_states.mul_(share), of_items.mul_(share), None, None, None, None, None
