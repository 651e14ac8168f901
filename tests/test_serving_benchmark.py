"""The serving benchmark at a size that takes seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_it_measures_a_real_service(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    command = [sys.executable, str(BENCHMARKS / "serving.py"), "--json", str(path), "--items", "300"]
    command += ["--requests", "200", "--parts", "2", "--connections", "4"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    result = json.loads(path.read_text(encoding="utf-8"))
    assert result["recommendations_per_second"] > 0
    assert 0 < result["p50_ms"] <= result["p99_ms"] <= result["max_ms"]
    assert len(result["memory_mb"]) == 2
    assert result["server_cpu_ms"] > 0
    assert {"processor", "torch", "commit", "load"} <= result.keys()
