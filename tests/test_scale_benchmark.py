"""The scale benchmark at a size that takes seconds."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def scale(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import scale

    return scale


def run(scale: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["scale.py", *arguments])
    scale.main()


def test_all_stages_work_and_an_interrupted_run_goes_on(
    tmp_path: Path, scale: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--items", "200", "--interactions-per-item", "10", "--folder", str(tmp_path)]
    # The first two in processes of their own, as all are in earnest; the others here, for the time that takes.
    run(scale, monkeypatch, *arguments, "--stages", "import,split")
    folder = tmp_path / "items-200-log-2000"
    first = (folder / "figures" / "import.json").read_text(encoding="utf-8")
    for stage in list(scale.STAGES)[2:]:
        figures = {"seconds": 1.0, "peak_mb": 3.0, "before_mb": 2.0, **scale.STAGES[stage](folder)}
        (folder / "figures" / f"{stage}.json").write_text(json.dumps(figures), encoding="utf-8")
    capsys.readouterr()
    run(scale, monkeypatch, *arguments, "--json", str(tmp_path / "result.json"))
    assert (folder / "figures" / "import.json").read_text(encoding="utf-8") == first
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert list(result["stages"]) == list(scale.STAGES)
    assert result["stages"]["split"]["200"]["windows"] == 200
    assert result["stages"]["rank"]["200"]["users"] == 200
    assert 50 < result["stages"]["import"]["200"]["peak_mb"] < 2000
    assert {"processor", "torch", "commit"} <= result.keys()
    printed = capsys.readouterr().out
    for line in ("import: s", "train: peak MB", "one step, ms", "rank all items for 512 users, s"):
        assert line in printed


def test_exponents_are_those_of_a_power_law(scale: ModuleType) -> None:
    assert scale.exponent({10: 30.0, 100: 3000.0, 1000: 300000.0}) == pytest.approx(2.0)
    assert scale.exponent({10: 7.0, 100: 7.0}) == pytest.approx(0.0)
    assert scale.exponent({10: 7.0}) is None
