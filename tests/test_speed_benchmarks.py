"""The benchmarks of speed at sizes that take seconds: what they print is what their guide says."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    # A point of growth.py runs in a process of its own; its steps are too small to share among threads.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def measured(name: str, *arguments: str) -> dict[str, Any]:
        path = tmp_path / "result.json"
        monkeypatch.setattr(sys, "argv", [f"{name}.py", "--reduced", "--json", str(path), *arguments])
        importlib.import_module(name).main()
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        assert result["reduced"]
        assert {"processor", "cores", "threads", "device", "torch", "commit", "load"} <= result.keys()
        return result

    return measured


@pytest.mark.parametrize(
    ("name", "arguments", "time", "floor"),
    [
        ("step", ["--steps", "3"], "step_ms", "floor_ms"),
        ("epoch", [], "epoch_s", "floor_s"),
        ("ranking", ["--repeats", "1"], "ranking_s", "floor_s"),
    ],
)
def test_a_time_is_held_against_its_floor(run: Any, name: str, arguments: list[str], time: str, floor: str) -> None:
    result = run(name, *arguments)
    assert result["ratio"] == pytest.approx(result[time] / result[floor], rel=0.05)
    assert result["peak_pss_mb"] > 0


def test_all_products_of_a_block_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    measure = importlib.import_module("measure")
    a, b, c = torch.randn(5, 7), torch.randn(7, 3), torch.randn(5, 3)
    assert measure.flop_of(lambda: (a @ b, c.addmm_(a, b), torch.addmm(c, a, b))) == 3 * 2 * 5 * 7 * 3
    two = [torch.stack([one, one]) for one in (c, a, b)]
    assert measure.flop_of(lambda: (two[0].baddbmm_(*two[1:]), torch.bmm(*two[1:]))) == 2 * 2 * 2 * 5 * 7 * 3


def test_the_losses_over_the_catalogue_are_held_against_their_products(run: Any) -> None:
    full, sampled = run("full_softmax", "--steps", "1")["runs"]
    assert full["encoded_items"] == full["items"] > sampled["encoded_items"] > 0
    for one in (full, sampled):
        parts = one["floor_item_side_ms"] + one["floor_logits_ms"] + one["floor_bytes_ms"]
        assert one["floor_ms"] == pytest.approx(parts, abs=0.2)
        assert one["ratio"] == pytest.approx(one["step_ms"] / one["floor_ms"], rel=0.1)


def test_growth_is_fitted_and_drawn(run: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "growth.svg"
    result = run("growth", "--plot", str(picture), "--repeats", "2")
    assert set(result["growth"]["items"]) == {"step_ms", "step_mb", "rank_ms", "full_softmax_ms"}
    assert list(result["growth"]["items"]["rank_ms"]["values"]) == ["500", "1000"]
    assert "<svg" in picture.read_text(encoding="utf-8")


def test_the_gpu_benchmark_goes_all_the_way_on_a_cpu(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setattr("iisan.training.device.torch.cuda.is_available", lambda: False)
    result = run("gpu")
    for part in ("in_batch", "full_softmax", "sampled_softmax", "mapped_in_batch"):
        assert result[part]["epoch_s"] > 0
        assert result[part]["operations_per_step"] > 0
        assert not result[part]["graphed"]
    assert result["ranking"]["ranking_s"] > 0
    assert {"image", "text"} == result["encode"].keys()


def test_encoding_is_held_against_the_forward_pass(run: Any) -> None:
    pytest.importorskip("transformers")
    result = run("encode", "--repeats", "2")
    assert (result["text"]["items"], result["pictures"]["items"]) == (12, 6)
    for part in (result["text"], result["pictures"]):
        assert min(part["encode_per_s"], part["forward_per_s"], part["prepare_per_s_one_by_one"], part["ratio"]) > 0
