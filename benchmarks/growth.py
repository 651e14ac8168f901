"""How time and memory grow with items, taps, width, batch and history length; one of them at a time.

python benchmarks/growth.py --json benchmarks/results/growth.json --plot growth.svg
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from iisan.evaluation.ranking import rank_targets
from iisan.jobs.train import recommender_config
from iisan.models.recommender import Recommender
from iisan.states.sources import ModalityShape
from iisan.training.config import TrainConfig
from iisan.training.losses.full_softmax import full_softmax_loss
from iisan.training.optimizer import build_optimizer
from iisan.training.step import InBatchStep
from measure import median_ms, report
from paper_shapes import make_split
from random_states import RandomStates
from scale import exponent

USERS, DIM = 512, 64


@dataclass(frozen=True)
class Point:
    """Sizes of a problem; the paper's by default."""

    items: int = 20_314
    taps: int = 7
    width: int = 768
    batch: int = 64
    length: int = 10


# What is varied, and over which values.
AXES: dict[str, list[int]] = {
    "items": [10_000, 31_623, 100_000, 316_228, 1_000_000],
    "taps": [3, 5, 7, 9, 13],
    "width": [192, 384, 768, 1536],
    "batch": [16, 32, 64, 128, 256],
    "length": [5, 10, 20, 40],
}
REDUCED = {"items": [500, 1_000]}
SMALL = Point(items=500, taps=2, width=32, batch=8, length=5)
# Costs that depend on nothing but the number of items.
OF_ITEMS = ("rank_ms", "full_softmax_ms")


def measured(point: Point, repeats: int) -> dict[str, float]:
    """Figures of one problem: milliseconds, and MB of memory that the training steps took beyond model and states."""
    config = TrainConfig.preset("paper", max_length=point.length, batch_size=point.batch)
    shapes = {name: ModalityShape(point.taps, point.width) for name in ("image", "text")}
    torch.manual_seed(0)
    source = RandomStates(shapes, point.items)
    model = Recommender(recommender_config(config, shapes, point.items))
    optimizer = build_optimizer(model, config)
    step = InBatchStep(model, source, make_split(point.items))
    windows = [torch.randint(1, point.items + 1, (point.batch, point.length + 1)) for _ in range(3 + repeats)]
    # Not to meet an item that has no training interaction, whose logarithm is infinite.
    step.log_popularity = torch.full((point.items,), -10.0)
    before = _peak_mb()

    def train() -> None:
        loss, _ = step(windows.pop())
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()

    median_ms(train, 3)
    figures = {"step_ms": median_ms(train, repeats), "step_mb": _peak_mb() - before}
    return figures | _of_items(point.items, repeats)


def _of_items(n_items: int, repeats: int) -> dict[str, float]:
    """The full ranking of some users and the loss over the whole catalogue, of items that are embedded."""
    items, states = torch.randn(n_items, DIM), torch.randn(USERS, DIM)
    targets, nobody = torch.randint(n_items, (USERS,)), torch.zeros(0, dtype=torch.long)
    offered = torch.ones(n_items, dtype=torch.bool)
    items.requires_grad_()

    def full() -> None:
        items.grad = None
        torch.autograd.backward(full_softmax_loss(states, targets, items))

    def rank() -> None:
        with torch.no_grad():
            rank_targets(states, items, targets, offered, (nobody, nobody))

    few = max(1, repeats // 4)
    return {"rank_ms": median_ms(rank, few), "full_softmax_ms": median_ms(full, few)}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def in_own_process(point: Point, repeats: int) -> dict[str, float]:
    """Figures of a problem from a fresh process, so that the memory is its own."""
    command = [sys.executable, __file__, "--point", json.dumps(asdict(point)), "--repeats", str(repeats)]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    figures: dict[str, float] = json.loads(output.splitlines()[-1])
    return figures


def growth(base: Point, axes: dict[str, list[int]], repeats: int) -> dict[str, Any]:
    """For each axis the figures at each value, and the exponents of the power laws that fit them best."""
    found: dict[str, Any] = {}
    for axis, values in axes.items():
        figures = {value: in_own_process(replace(base, **{axis: value}), repeats) for value in values}
        names = [name for name in figures[values[0]] if axis == "items" or name not in OF_ITEMS]
        found[axis] = {
            name: {
                "values": {value: round(one[name], 3) for value, one in figures.items()},
                "exponent": exponent({value: one[name] for value, one in figures.items()}),
            }
            for name in names
        }
        print(axis, {name: one["exponent"] for name, one in found[axis].items()}, file=sys.stderr, flush=True)
    return found


def plot(found: dict[str, Any], path: Path) -> None:
    """One panel an axis, both scales logarithmic, the exponents in the legend."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(found), figsize=(4 * len(found), 4), squeeze=False, layout="constrained")
    for panel, (axis, curves) in zip(panels[0], found.items(), strict=True):
        for name, curve in curves.items():
            sizes = [int(value) for value in curve["values"]]
            slope = "–" if curve["exponent"] is None else f"{curve['exponent']:.2f}"
            panel.loglog(sizes, list(curve["values"].values()), marker="o", label=f"{name} ~ {slope}")
        panel.set_xlabel(axis)
        panel.legend()
    panels[0][0].set_ylabel("ms, MB")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write the result")
    parser.add_argument("--plot", type=Path, help="where to draw it, as .svg or .png")
    parser.add_argument("--repeats", type=int, default=20, help="steps measured at each point")
    parser.add_argument("--reduced", action="store_true", help="few and small points, to see that it works")
    parser.add_argument("--point", help="measure one point, given as JSON, and print its figures")
    options = parser.parse_args()
    if options.point is not None:
        print(json.dumps(measured(Point(**json.loads(options.point)), options.repeats)))
        return
    found = growth(*((SMALL, REDUCED) if options.reduced else (Point(), AXES)), options.repeats)
    if options.plot is not None:
        plot(found, options.plot)
    report({"growth": found, "reduced": options.reduced}, options.json)


if __name__ == "__main__":
    main()
