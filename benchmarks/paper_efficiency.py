"""The paper's table of training time, parameters, memory and TPME, measured anew at its shapes.

python benchmarks/paper_efficiency.py --json benchmarks/results/paper-efficiency.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import peft
import transformers

from efficiency_method import PREPARE
from efficiency_problem import SCALES, described
from iisan.efficiency.tpme import tpme_intervals
from machine import machine

METHODS = ("full", "adapter", "lora", "bitfit", "iisan-uncached", "iisan")
# Seconds an epoch and GB of arXiv 2404.02059, as its abstract gives them.
PAPER = {"full": ("443", "47"), "adapter": ("350–380", "37–39"), "lora": ("350–380", "37–39"), "iisan": ("22", "3")}

Figures = dict[str, Any]


def in_own_process(method: str, folder: Path, scale: str, blocks: int) -> Figures | str:
    """Figures of a method, or why there are none."""
    command = [sys.executable, str(Path(__file__).with_name("efficiency_method.py")), method]
    done = subprocess.run([*command, str(folder), scale, str(blocks)], capture_output=True, text=True)
    if done.returncode == 0:
        figures: Figures = json.loads(done.stdout.splitlines()[-1])
        return figures
    lines = done.stderr.strip().splitlines()
    return f"{lines[-1] if lines else 'no message'} (exit code {done.returncode})"


def with_tpme(figures: Mapping[str, Figures]) -> dict[str, Figures]:
    """The figures with the TPME of each method among them."""
    intervals = tpme_intervals(
        [one["epoch_seconds"] for one in figures.values()],
        [one["trainable_parameters"] for one in figures.values()],
        [[one["peak_memory"]] for one in figures.values()],
    )
    return {
        method: {**one, "tpme": interval.value, "tpme_interval": [interval.low, interval.high]}
        for (method, one), interval in zip(figures.items(), intervals, strict=True)
    }


def table(figures: Mapping[str, Figures]) -> str:
    """The figures as a Markdown table, the paper's beside them."""
    lines = [
        "| method | batch | T, s an epoch | P, trainable | M, GB | TPME (95 %) | paper's T, s | paper's M, GB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for method, one in figures.items():
        seconds, gigabytes = PAPER.get(method, ("–", "–"))
        low, high = one["tpme_interval"]
        cells = [
            method,
            str(one["batch_size"]),
            f"{statistics.mean(one['epoch_seconds']):.1f}",
            f"{one['trainable_parameters']:,}",
            f"{one['peak_memory'] / 1e9:.2f}",
            f"{one['tpme']:.3f} ({low:.3f}–{high:.3f})",
            seconds,
            gigabytes,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def notes(scale: str, device: str, encoding: Figures) -> str:
    """What the table does not say itself."""
    users = described(SCALES[scale])["users"]
    seconds = sum(encoding["seconds"].values())
    lines = [
        f"Measured on {device}; the paper's figures are its authors', taken on another GPU.",
        f"An epoch is {users:,} users, scaled from the steps that were timed; validation is not in it.",
        "Pictures were decoded in advance; moving them to the device is in the time.",
        f"Encoding all {encoding['items']:,} items once, for the cached method, took {seconds:.1f} s.",
        "TPME compares the methods of this table; trainable parameters are those of the whole model.",
    ]
    if scale != "paper":
        lines.insert(0, f"Scale {scale!r}: these are not the paper's shapes, and the numbers mean nothing.")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", choices=sorted(SCALES), default="paper", help="sizes of the encoders and the log")
    parser.add_argument("--methods", default=",".join(METHODS), help="methods, as for `iisan compare`")
    parser.add_argument("--blocks", type=int, default=3, help="blocks of steps that are timed, the repeats")
    parser.add_argument("--json", type=Path, help="where to write the result")
    options = parser.parse_args()
    figures: dict[str, Figures] = {}
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="iisan-efficiency-") as folder:
        encoding = in_own_process(PREPARE, Path(folder), options.scale, options.blocks)
        if isinstance(encoding, str):
            raise SystemExit(f"the models could not be made: {encoding}")
        for method in options.methods.split(","):
            started = time.monotonic()
            outcome = in_own_process(method, Path(folder), options.scale, options.blocks)
            print(f"{method}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
            if isinstance(outcome, str):
                failed[method] = outcome
                print(f"{method} failed: {outcome}", file=sys.stderr, flush=True)
            else:
                figures[method] = outcome
    if not figures:
        raise SystemExit("every method failed")
    figures = with_tpme(figures)
    facts = machine()
    print(table(figures), notes(options.scale, facts["device"], encoding), sep="\n\n")
    if options.json is not None:
        result = {
            "scale": {"name": options.scale, **described(SCALES[options.scale])},
            "methods": figures,
            "failed": failed,
            "encoding": encoding,
            **facts,
            "transformers": transformers.__version__,
            "peft": peft.__version__,
        }
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
