"""From import to recommendations with up to a million items: seconds, peak memory, and how both grow.

python benchmarks/scale.py --json benchmarks/results/scale.json
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from machine import machine
from scale_shop import make_shop
from scale_stages import STAGES

Figures = dict[str, float]
# Of these a stage has a line of its own in the table, beside its seconds and its memory.
DETAILS = {
    "gather": {"open_s": "open the stores, s", "gather_ms": "gather 512 items from disk, ms"},
    "train": {"step_ms": "one step, ms", "checkpoint_s": "one checkpoint, s"},
    "embed": {"embed_s": "embed all items, s"},
    "rank": {"rank_s": "rank all items for 512 users, s"},
    "recommend": {"load_s": "load the model, s", "recommend_s": "64 lists of 10, s"},
}


def measure(stage: str, folder: Path) -> Figures:
    """Figures of a stage from a fresh process, or those of an earlier run that was interrupted later on."""
    kept = folder / "figures" / f"{stage}.json"
    if not kept.exists():
        command = [sys.executable, str(Path(__file__).with_name("scale_stages.py")), stage, str(folder)]
        output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(output.splitlines()[-1], encoding="utf-8")
    figures: Figures = json.loads(kept.read_text(encoding="utf-8"))
    return figures


def prepare(folder: Path, n_items: int, n_interactions: int) -> None:
    """Makes the files of a shop, if they are not there from an earlier run."""
    raw = folder / "raw"
    if not raw.exists():
        draft = folder / "raw.partial"
        make_shop(draft, n_items, n_interactions)
        draft.replace(raw)


def exponent(values: Mapping[int, float]) -> float | None:
    """The exponent `b` of the power law ``a · size^b`` that fits best, by least squares of the logarithms."""
    points = [(math.log(size), math.log(value)) for size, value in values.items() if value > 0]
    if len(points) < 2:
        return None
    mean_x, mean_y = (sum(column) / len(points) for column in zip(*points, strict=True))
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


def last_two(values: Mapping[int, float]) -> dict[int, float]:
    """The values of the two largest sizes, where what is constant counts least."""
    return {size: values[size] for size in sorted(values)[-2:]}


def rows(figures: Mapping[str, Mapping[int, Figures]]) -> dict[str, dict[int, float]]:
    """What the table shows: a name and a value for each size."""
    shown = {}
    for stage, by_size in figures.items():
        shown[f"{stage}: s"] = {size: one["seconds"] for size, one in by_size.items()}
        shown[f"{stage}: peak MB above the {_least(by_size):.0f} of the program"] = {
            size: one["peak_mb"] - one["before_mb"] for size, one in by_size.items()
        }
        for key, name in DETAILS.get(stage, {}).items():
            shown[f"  {name}"] = {size: one[key] for size, one in by_size.items()}
    return shown


def _least(by_size: Mapping[int, Figures]) -> float:
    return min(one["before_mb"] for one in by_size.values())


def table(shown: Mapping[str, Mapping[int, float]], sizes: Sequence[int]) -> str:
    """The rows as text, with the exponents over all sizes and over the last two."""
    width = max(map(len, shown))
    lines = [" ".join([" " * width, *(f"{size:>12,}" for size in sizes), f"{'exponent':>9}", f"{'last two':>9}"])]
    for name, values in shown.items():
        cells = [f"{values[size]:12,.2f}" for size in sizes]
        slopes = [exponent(values), exponent(last_two(values))]
        cells += ["        –" if slope is None else f"{slope:9.2f}" for slope in slopes]
        lines.append(" ".join([name.ljust(width), *cells]))
    return "\n".join(lines)


def result(figures: Mapping[str, Mapping[int, Figures]]) -> dict[str, Any]:
    """What the JSON file holds."""
    slopes = {name.strip(): (exponent(values), exponent(last_two(values))) for name, values in rows(figures).items()}
    return {
        "stages": {
            stage: {size: {key: round(value, 3) for key, value in one.items()} for size, one in by_size.items()}
            for stage, by_size in figures.items()
        },
        "exponents": {
            name: [None if slope is None else round(slope, 2) for slope in both] for name, both in slopes.items()
        },
        **machine(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", default="10000,100000,1000000", help="sizes of the catalogue")
    parser.add_argument("--interactions-per-item", type=int, default=10, help="size of the log")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(tempfile.gettempdir()) / "iisan-scale",
        help="where data and figures are kept; a run that was interrupted is continued there",
    )
    parser.add_argument("--stages", default=",".join(STAGES), help="some of the stages; each needs what is before it")
    parser.add_argument("--json", type=Path, help="where to write the result")
    options = parser.parse_args()
    sizes = [int(size) for size in options.items.split(",")]
    figures: dict[str, dict[int, Figures]] = {stage: {} for stage in options.stages.split(",")}
    for size in sizes:
        folder = options.folder / f"items-{size}-log-{size * options.interactions_per_item}"
        folder.mkdir(parents=True, exist_ok=True)
        prepare(folder, size, size * options.interactions_per_item)
        for stage in figures:
            started = time.monotonic()
            figures[stage][size] = measure(stage, folder)
            print(f"{size:,} items, {stage}: {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
    print(table(rows(figures), sizes))
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result(figures), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
