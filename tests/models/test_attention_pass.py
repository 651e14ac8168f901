"""Attention with its own backward pass gives what the library's gives, and what is dropped is dropped as told."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from iisan.models.attention_pass import attend, attention_bias
from iisan.models.config import SasrecConfig
from iisan.models.dropout_masks import DropoutMasks
from iisan.models.sasrec import Sasrec, visible_keys
from iisan.models.slots import Slots

BATCH, LENGTH, HEADS, WIDTH = 3, 5, 2, 8
REAL = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1]], dtype=torch.bool)


def plain(heads: Tensor, slots: Slots, kept: Tensor | None) -> Tensor:
    """One history and head at a time."""
    rows = list(range(BATCH * LENGTH)) if slots.rows is None else slots.rows.tolist()
    size, visible = WIDTH // HEADS, visible_keys(REAL)[:, 0]
    out = []
    for place, row in enumerate(rows):
        history, position = divmod(row, LENGTH)
        seen = [
            at
            for at, other in enumerate(rows)
            if other // LENGTH == history and visible[history, position, other % LENGTH]
        ]
        parts = []
        for head in range(HEADS):
            query = heads[place, head * size : (head + 1) * size]
            keys = heads[seen, WIDTH + head * size : WIDTH + (head + 1) * size]
            values = heads[seen, 2 * WIDTH + head * size : 2 * WIDTH + (head + 1) * size]
            weights = torch.softmax(keys @ query / size**0.5, dim=0)
            if kept is not None:
                weights = weights * kept[history * HEADS + head, position, [rows[at] % LENGTH for at in seen]]
            parts.append(weights @ values)
        out.append(torch.cat(parts))
    return torch.stack(out)


@pytest.mark.parametrize("compact", [True, False], ids=["real-slots", "all-slots"])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_attention_and_its_gradient(compact: bool, dropout: float) -> None:
    torch.manual_seed(0)
    slots = Slots.real(REAL) if compact else Slots(BATCH * LENGTH, None)
    heads = torch.randn(len(slots.take(torch.zeros(BATCH * LENGTH, 1))), 3 * WIDTH, dtype=torch.float64)
    heads.requires_grad_()
    bias = attention_bias(visible_keys(REAL), HEADS, torch.float64)
    kept = DropoutMasks(dropout, bias.numel(), bias).next(*bias.shape)
    found, expected = attend(heads, bias, HEADS, slots, kept), plain(heads, slots, kept)
    torch.testing.assert_close(found, expected)
    weighting = torch.randn_like(found)
    torch.testing.assert_close(
        torch.autograd.grad((found * weighting).sum(), heads), torch.autograd.grad((expected * weighting).sum(), heads)
    )


def test_training_and_evaluation_agree_where_nothing_is_dropped() -> None:
    torch.manual_seed(1)
    model = Sasrec(SasrecConfig(dim=WIDTH, n_heads=HEADS, n_layers=2, max_length=LENGTH, dropout=0.0))
    items = torch.randn(BATCH, LENGTH, WIDTH)
    trained, evaluated = model.train()(items, REAL), model.eval()(items, REAL)
    torch.testing.assert_close(trained[REAL], evaluated[REAL])


@pytest.mark.parametrize("dropout", [0.1, 0.5, 0.95])
def test_masks_drop_as_often_as_told_and_keep_the_mean(dropout: float) -> None:
    torch.manual_seed(2)
    size = 200_001
    masks = DropoutMasks(dropout, size, torch.empty(0))
    first, rest = masks.next(1), masks.next(size - 1)
    assert first is not None
    assert rest is not None
    values = rest.unique()
    assert len(values) == 2
    assert values[0] == 0
    share = float((rest == 0).float().mean())
    assert abs(share - dropout) < 5 * (dropout * (1 - dropout) / size) ** 0.5 + 2**-16
    torch.testing.assert_close(values[1], torch.tensor(1 / (1 - dropout)), rtol=1e-3, atol=0)
    # Neighbours come from one draw of random bits; they must not go together.
    pairs = (rest[:-1] == 0) & (rest[1:] == 0)
    assert abs(float(pairs.float().mean()) - dropout**2) < 0.01


def test_masks_multiply_what_is_dropped() -> None:
    torch.manual_seed(3)
    x, total = torch.randn(50, 4), torch.randn(50, 4)
    torch.manual_seed(4)
    masks = DropoutMasks(0.3, 400, x)
    dropped, added = masks.drop(x), masks.add_dropped(total, x)
    torch.manual_seed(4)
    again = DropoutMasks(0.3, 400, x)
    mask, other = again.next(50, 4), again.next(50, 4)
    assert mask is not None
    assert other is not None
    assert not torch.equal(mask, other)
    torch.testing.assert_close(dropped, x * mask)
    torch.testing.assert_close(added, total + x * other)
    none = DropoutMasks(0.0, 400, x)
    assert none.next(2) is None
    assert torch.equal(none.drop(x), x)
    assert torch.equal(none.add_dropped(total, x), total + x)
