"""The paper's efficiency table at a size that takes seconds, and the size of its model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from iisan.efficiency.tpme import tpme
from iisan.jobs.train import recommender_config
from iisan.models.recommender import Recommender
from iisan.states.sources import ModalityShape
from iisan.training.config import TrainConfig

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
METHODS = ["lora", "iisan-uncached", "iisan"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """What the benchmark printed, and its JSON."""
    pytest.importorskip("peft")
    path = tmp_path_factory.mktemp("efficiency") / "result.json"
    command = [sys.executable, str(BENCHMARKS / "paper_efficiency.py"), "--scale", "tiny"]
    words = ["--methods", ",".join(METHODS), "--blocks", "2", "--json", str(path)]
    # The steps are too small to share among threads.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *words], capture_output=True, text=True, check=True, env=environment)
    return done.stdout, json.loads(path.read_text(encoding="utf-8"))


def test_every_method_is_measured_in_the_papers_setting(measured: tuple[str, dict[str, Any]]) -> None:
    result = measured[1]
    assert list(result["methods"]) == METHODS
    assert result["failed"] == {}
    for method, one in result["methods"].items():
        assert one["batch_size"] == (32 if method == "lora" else 64)
        assert one["steps_per_epoch"] == 640 // one["batch_size"]
        assert len(one["epoch_seconds"]) == 2
        phases = one["phase_seconds"]
        assert min(phases.values()) > 0
        assert sum(phases.values()) <= sum(one["epoch_seconds"]) / 2 * 1.01
        assert one["peak_memory"] > 0
    assert {"processor", "cores", "torch", "transformers", "peft", "commit", "device"} <= result.keys()


def test_parameters_are_those_of_the_models(measured: tuple[str, dict[str, Any]]) -> None:
    methods = measured[1]["methods"]
    lora, uncached, cached = (methods[name] for name in METHODS)
    # Rank 8 on queries and values, width 16: two matrices of 8 × 16, two projections, two layers, two encoders.
    assert lora["trainable_parameters"] - _size("lora", taps=1) == 2 * 8 * 16 * 2 * 2 * 2
    assert uncached["trainable_parameters"] == cached["trainable_parameters"] == cached["parameters"]
    assert cached["parameters"] == _size("iisan", taps=2)
    assert lora["parameters"] - lora["trainable_parameters"] == uncached["parameters"] - cached["parameters"] > 0


def test_tpme_is_of_the_means_and_the_table_shows_it(measured: tuple[str, dict[str, Any]]) -> None:
    printed, result = measured
    methods = result["methods"]
    expected = tpme(
        [sum(one["epoch_seconds"]) / 2 for one in methods.values()],
        [one["trainable_parameters"] for one in methods.values()],
        [one["peak_memory"] for one in methods.values()],
    )
    assert [one["tpme"] for one in methods.values()] == pytest.approx(expected)
    rows = {line.split("|")[1].strip(): line for line in printed.splitlines() if line.startswith("|")}
    for method, one in methods.items():
        low, high = one["tpme_interval"]
        assert low <= one["tpme"] <= high
        assert f"{one['trainable_parameters']:,}" in rows[method]
        assert f"{one['tpme']:.3f}" in rows[method]
    assert "37–39" in rows["lora"]
    assert "another GPU" in printed
    assert "not the paper's shapes" in printed


def test_a_method_that_fails_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paper_efficiency = _module(monkeypatch, "paper_efficiency")
    failure = paper_efficiency.in_own_process("lora", tmp_path / "nowhere", "tiny", 1)
    assert isinstance(failure, str)
    assert "nowhere" in failure


def test_iisan_at_the_papers_shapes_has_its_number_of_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = {name: ModalityShape(n_taps=7, width=768) for name in ("image", "text")}
    with torch.device("meta"):
        model = Recommender(recommender_config(TrainConfig.preset("paper"), shapes, n_items=20_314))
    parts = {
        "blocks": 3 * 7 * (2 * 768 * 64 + 64 + 768),
        "gates": 3 * 7,
        "heads": 3 * (768 * 768 + 768 + 768 * 64 + 64),
        "fusion": 3 * 64 * 64 + 64,
        "positions and their norm": 10 * 64 + 2 * 64,
        "sequence layers": 2 * (4 * 64 * 64 + 64 * 256 + 256 + 256 * 64 + 64 + 2 * 2 * 64),
    }
    assert sum(parts.values()) == 4_113_877
    assert sum(parameter.numel() for parameter in model.parameters()) == 4_113_877


def _size(method: str, *, taps: int) -> int:
    """Parameters beside the encoders' at the tiny scale."""
    shapes = {name: ModalityShape(n_taps=taps, width=16) for name in ("image", "text")}
    with torch.device("meta"):
        model = Recommender(recommender_config(TrainConfig.preset("paper", method=method), shapes, n_items=400))
    return sum(parameter.numel() for parameter in model.parameters())


def _module(monkeypatch: pytest.MonkeyPatch, name: str) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return __import__(name)
