"""A training step with the full softmax, and with the sampled one: time, memory, and the least that they could take.

python benchmarks/full_softmax.py --json benchmarks/results/full-softmax.json
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from iisan.data.windows import training_windows
from iisan.jobs.train import recommender_config
from iisan.models.recommender import Recommender
from iisan.states.sources import ModalityShape
from iisan.training.config import TrainConfig
from iisan.training.losses.full_softmax import full_softmax_loss
from iisan.training.optimizer import build_optimizer
from iisan.training.sampled_step import SampledSoftmaxStep
from iisan.training.step import FullSoftmaxStep
from machine import machine
from measure import flop_of, median_ms
from paper_shapes import N_ITEMS, SHAPES, make_split
from random_states import RandomStates

# Growth is measured at a small width: what is to be seen is what the number of items does.
SMALL = {"image": ModalityShape(3, 64), "text": ModalityShape(3, 64)}
ITEMS = (10_000, 100_000, 1_000_000)
REDUCED_ITEMS = 2_000


class Problem:
    """Model, states and histories of one size.

    Args:
        shapes: What the states are like.
        n_items: ``N``.
    """

    def __init__(self, shapes: dict[str, ModalityShape], n_items: int) -> None:
        self.config = TrainConfig.preset("paper", loss="full_softmax")
        self.n_items = n_items
        self.split = make_split(n_items)
        self.windows = torch.from_numpy(training_windows(self.split, self.config.max_length))
        self.source = RandomStates(shapes, n_items)
        torch.manual_seed(0)
        self.model = Recommender(recommender_config(self.config, shapes, n_items))
        self.optimizer = build_optimizer(self.model, self.config)
        self._rng = np.random.default_rng(0)

    def batch(self) -> Tensor:
        """Some windows ``[B, L + 1]``."""
        return self.windows[self._rng.choice(len(self.windows), self.config.batch_size, replace=False)]

    def step(self, loss: str) -> FullSoftmaxStep | SampledSoftmaxStep:
        """What computes the loss of a batch."""
        if loss == "sampled_softmax":
            return SampledSoftmaxStep(self.model, self.source, self.split, self.config.negatives)
        return FullSoftmaxStep(self.model, self.source, self.split, self.config.encode_chunk)

    def train(self, step: FullSoftmaxStep | SampledSoftmaxStep) -> None:
        """One step with its update."""
        loss, _ = step(self.batch())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()


def measure(shapes: dict[str, ModalityShape], n_items: int, loss: str, repeats: int) -> dict[str, Any]:
    """Time and memory of a step, and its floor."""
    problem = Problem(shapes, n_items)
    step = problem.step(loss)
    before = _peak_mb()
    problem.train(step)
    step_ms = median_ms(lambda: problem.train(step), repeats)
    peak = _peak_mb()
    encoded = n_items if loss == "full_softmax" else _encoded(problem, step)
    item_ms = _item_floor_ms(problem, encoded)
    loss_ms = _loss_floor_ms(problem, encoded)
    bytes_ms = encoded * _bytes_ms(problem)
    floor_ms = item_ms + loss_ms + bytes_ms
    return {
        "loss": loss,
        "items": n_items,
        "width": next(iter(shapes.values())).width,
        "encoded_items": encoded,
        "step_ms": round(step_ms, 1),
        "floor_ms": round(floor_ms, 1),
        "ratio": round(step_ms / floor_ms, 2),
        "floor_item_side_ms": round(item_ms, 1),
        "floor_logits_ms": round(loss_ms, 1),
        "floor_bytes_ms": round(bytes_ms, 1),
        "logits_ms": round(_loss_ms(problem, encoded), 1),
        "step_mb_above_states": round(peak - before, 1),
    }


def _encoded(problem: Problem, step: FullSoftmaxStep | SampledSoftmaxStep) -> int:
    seen: list[int] = []
    gather = problem.source.gather
    problem.source.gather = lambda rows: seen.append(len(rows)) or gather(rows)  # type: ignore[method-assign,func-returns-value]
    step(problem.batch())
    problem.source.gather = gather  # type: ignore[method-assign]
    return sum(seen)


def _item_floor_ms(problem: Problem, n_items: int) -> float:
    """The item side's products, forward and backward once, at the rate of products of their shapes."""
    rows = torch.arange(min(n_items, problem.config.encode_chunk))
    states = problem.source.gather(rows)
    flop = flop_of(lambda: problem.model.item_embeddings(states, rows).sum().backward())  # type: ignore[no-untyped-call]
    width = next(iter(problem.source.modalities.values())).width
    x, down, up = torch.randn(len(rows), width), torch.randn(width, 64), torch.randn(64, width)
    run = lambda: (x @ down) @ up  # noqa: E731
    median_ms(run, 5)
    rate = 2 * 2 * len(rows) * width * 64 / median_ms(run, 30)
    return flop / len(rows) * n_items / rate


def _predictions(problem: Problem) -> int:
    return int((problem.batch()[:, :-1] > 0).sum())


def _loss_floor_ms(problem: Problem, n_items: int) -> float:
    """The logits and their two gradients, as bare products of a group at a time."""
    block = min(n_items, 16384)
    states, items = torch.randn(64, problem.config.dim), torch.randn(block, problem.config.dim)
    logits = torch.randn(64, block)
    median_ms(lambda: states @ items.T, 5)
    ms = (
        median_ms(lambda: states @ items.T, 20)
        + median_ms(lambda: logits @ items, 20)
        + median_ms(lambda: logits.T @ states, 20)
    )
    return ms * _predictions(problem) / 64 * n_items / block


def _loss_ms(problem: Problem, n_items: int) -> float:
    states = torch.randn(_predictions(problem), problem.config.dim, requires_grad=True)
    items = torch.randn(n_items, problem.config.dim, requires_grad=True)
    targets = torch.randint(n_items, (len(states),))
    return median_ms(lambda: full_softmax_loss(states, targets, items).backward(), 3)


def _bytes_ms(problem: Problem) -> float:
    """One pass from float16 to float32 over the states of an item."""
    rows = min(problem.n_items, 2048)
    numbers = sum((shape.n_taps - 1) * shape.width for shape in problem.source.modalities.values())
    states = torch.randn(rows, numbers).half()
    return median_ms(lambda: states.float(), 20) / rows


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write the result")
    parser.add_argument("--items", type=int, nargs="+", default=list(ITEMS), help="catalogue sizes at the small width")
    parser.add_argument("--steps", type=int, default=3, help="steps measured")
    parser.add_argument("--reduced", action="store_true", help="few items, to see that it works")
    parser.add_argument("--one", nargs=3, metavar=("SHAPE", "ITEMS", "LOSS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        shape, n_items, loss = options.one
        print(json.dumps(measure(SHAPES if shape == "paper" else SMALL, int(n_items), loss, options.steps)))
        return
    started = time.time()
    runs = [("paper", N_ITEMS), *(("small", n_items) for n_items in options.items)]
    if options.reduced:
        runs = [("small", REDUCED_ITEMS)]
    results = []
    for shape, n_items in runs:
        for loss in ("full_softmax", "sampled_softmax"):
            results.append(_in_a_process(shape, n_items, loss, options.steps))
            print(json.dumps(results[-1]))
    result = {"runs": results, "reduced": options.reduced, "seconds": round(time.time() - started), **machine()}
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _in_a_process(shape: str, n_items: int, loss: str, steps: int) -> dict[str, Any]:
    """Each on its own, so that one's peak memory is not another's."""
    command = [sys.executable, __file__, "--one", shape, str(n_items), loss, "--steps", str(steps)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
