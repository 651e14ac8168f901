"""The products of heads, against plain ones in double precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from iisan.models.column_products import columns_times
from iisan.models.head import Head
from iisan.models.head_products import linear, matrix_product
from iisan.models.product_parts import LEAST_COLUMNS, column_parts

# Of columns: not cut; cut in two for two threads; in four; wide enough but not divisible.
WIDTHS = [30, 2 * LEAST_COLUMNS, 4 * LEAST_COLUMNS, 2 * LEAST_COLUMNS + 1]


def on_threads(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)


def leaves(*shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(7)
    return [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]


def results(outcome: Tensor, of: list[Tensor]) -> list[Tensor]:
    """The outcome, and the gradients of a sum in which each of its numbers has a weight of its own."""
    weights = torch.linspace(-1, 2, outcome.numel(), dtype=outcome.dtype).view_as(outcome)
    return [outcome.detach(), *torch.autograd.grad((outcome * weights).sum(), of)]


def assert_same(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        scale = other.abs().max().clamp_min(1)
        assert float((one.double() - other).abs().max() / scale) < 1e-6


@pytest.mark.parametrize("threads", [1, 2, 16])
@pytest.mark.parametrize("width", WIDTHS)
def test_a_matrix_product_and_its_gradients_are_the_plain_ones(
    monkeypatch: pytest.MonkeyPatch, width: int, threads: int
) -> None:
    on_threads(monkeypatch, threads)
    left, right = leaves((5, width), (width, width))
    as_double = [values.detach().double().requires_grad_() for values in (left, right)]
    expected = results(as_double[0] @ as_double[1], as_double)
    assert_same(results(matrix_product(left, right), [left, right]), expected)


@pytest.mark.parametrize("threads", [1, 2, 16])
@pytest.mark.parametrize("items", [1, 129])
@pytest.mark.parametrize("width", WIDTHS)
def test_a_linear_map_of_items_and_its_gradients_are_the_plain_ones(
    monkeypatch: pytest.MonkeyPatch, width: int, items: int, threads: int
) -> None:
    on_threads(monkeypatch, threads)
    of = leaves((items, width), (6, width), (6,))
    as_double = [values.detach().double().requires_grad_() for values in of]
    expected = results(as_double[0] @ as_double[1].T + as_double[2], as_double)
    assert_same(results(linear(of[0], of[1], of[2]), of), expected)


def test_what_wants_no_gradient_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    on_threads(monkeypatch, 2)
    left, right = leaves((5, 384), (384, 384))
    (gradient,) = torch.autograd.grad(matrix_product(left, right.detach()).sum(), [left])
    torch.testing.assert_close(gradient, right.detach().sum(dim=1).expand(5, -1), rtol=1e-5, atol=1e-4)
    hidden, weight, bias = leaves((129, 384), (6, 384), (6,))
    (gradient,) = torch.autograd.grad(linear(hidden.detach(), weight.detach(), bias).sum(), [bias])
    torch.testing.assert_close(gradient, torch.full((6,), 129.0))


def test_a_transposed_side_is_cut_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    on_threads(monkeypatch, 2)
    left, right = (values.detach() for values in leaves((384, 7), (768, 384)))
    found = columns_times(left.mT, right.mT)
    assert found.is_contiguous()
    assert_same([found], [left.double().T @ right.double().T])


def test_a_head_in_lower_precision_computes_as_its_layers_would() -> None:
    torch.manual_seed(3)
    head, hidden = Head(768, None, 8), torch.randn(200, 768)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = head(hidden)
        expected = torch.nn.functional.linear(hidden, *head.parameters())
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, expected)


def test_columns_are_cut_where_each_core_gets_enough_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    on_threads(monkeypatch, 2)
    assert column_parts(4 * LEAST_COLUMNS, cpu) == 4
    assert column_parts(2 * LEAST_COLUMNS, cpu) == 2
    assert column_parts(2 * LEAST_COLUMNS - 2, cpu) == 1
    assert column_parts(2 * LEAST_COLUMNS + 1, cpu) == 1
    assert column_parts(4 * LEAST_COLUMNS, torch.device("meta")) == 1
    on_threads(monkeypatch, 1)
    assert column_parts(4 * LEAST_COLUMNS, cpu) == 1
