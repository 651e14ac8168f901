"""Times, and the rates of this machine that they are held against."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from machine import machine


def median_ms(run: Callable[[], object], repeats: int) -> float:
    """Median wall time of a call in milliseconds."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def flop_of(run: Callable[[], object]) -> int:
    """Floating-point operations of a call's products."""
    # The counter knows these products, but not the form that writes to its first argument.
    in_place = {torch.ops.aten.addmm_: _added_flop, torch.ops.aten.baddbmm_: _added_flop}
    with FlopCounterMode(display=False, custom_mapping=in_place) as counter:
        run()
    return int(counter.get_total_flops())


def _added_flop(total: torch.Size, left: torch.Size, right: torch.Size, **_: Any) -> int:
    return 2 * left.numel() * right[-1]


def block_rate(n_items: int, width: int = 768, inner: int = 64) -> float:
    """FLOP per ms of a block's products, ``[n, width] x [width, inner]`` and back, in fp32."""
    x, down, up = torch.randn(n_items, width), torch.randn(width, inner), torch.randn(inner, width)
    run = lambda: (x @ down) @ up  # noqa: E731
    median_ms(run, 20)
    return 2 * 2 * n_items * width * inner / median_ms(run, 100)


def score_rate(users: int, items: int, dim: int = 64) -> float:
    """FLOP per ms of the products that score items, ``[users, dim] x [dim, items]``, in fp32."""
    states, table = torch.randn(users, dim), torch.randn(items, dim)
    run = lambda: states @ table.T  # noqa: E731
    median_ms(run, 5)
    return 2 * users * items * dim / median_ms(run, 30)


def report(result: dict[str, Any], path: Path | None) -> None:
    """Prints a result and the machine it belongs to, and writes it where that is asked for."""
    whole = json.dumps({**result, **machine()}, indent=2)
    print(whole)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(whole + "\n", encoding="utf-8")
