"""Processes that encode into one store at the same time: one goes on, another is told so, a third waits its turn."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from iisan.data.importers.delimited import DelimitedImport, import_delimited
from iisan.jobs.encode import EncodeJob, encode_dataset
from iisan.states.store import HiddenStateStore
from iisan.states.verify import verify_store
from tests.conftest import TinyModels
from tests.tiny_encoders import texts

# Enough to take half a second, one by one.
N_TEXTS = 300
SECONDS = 120


@pytest.fixture
def many_texts(tmp_path: Path) -> Path:
    """A dataset whose last text is that of its first item."""
    titles = texts(N_TEXTS - 1, seed=3)
    for name, header, rows in (
        ("items.csv", ["item_id", "title"], [[f"i{k}", title] for k, title in enumerate([*titles, titles[0]])]),
        ("interactions.csv", ["user_id", "item_id", "timestamp"], [["u", f"i{k}", str(k)] for k in range(5)]),
    ):
        with (tmp_path / name).open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([header, *rows])
    config = DelimitedImport(items=tmp_path / "items.csv", interactions=tmp_path / "interactions.csv")
    import_delimited(config, tmp_path / "dataset")
    return tmp_path / "dataset"


def until(reached: Callable[[], bool], *processes: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + SECONDS
    while not reached():
        for process in processes:
            assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs SIGSTOP")
def test_one_encodes_one_is_refused_one_waits(many_texts: Path, tiny_models: TinyModels, tmp_path: Path) -> None:
    store = many_texts / "states" / "text"

    def spawn(log: str, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", "from iisan.cli.entry import main; main()", "encode", str(many_texts)]
        command += ["--text-model", str(tiny_models.text), "--batch-size", "1", "--device", "cpu", *words]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
        with (tmp_path / log).open("w") as errors:
            return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)

    processes = [spawn("first")]
    first = processes[0]
    try:
        until((store / "manifest.json").exists, first)
        first.send_signal(signal.SIGSTOP)  # it keeps the lock as long as the others take to start
        assert not (store / "shard-00000.safetensors").exists()
        processes += [spawn("refused"), spawn("waiting", "--wait")]
        _, refused, waiting = processes
        out, _ = refused.communicate(timeout=SECONDS)
        until(lambda: "waiting for another process" in (tmp_path / "waiting").read_text(), waiting)
        first.send_signal(signal.SIGCONT)
        outputs = [first.communicate(timeout=SECONDS)[0], waiting.communicate(timeout=SECONDS)[0]]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    how = "wait until it is done, or let this run wait for it (`--wait`, or wait=True)"
    line = f"error: {store}: another process is writing this store; {how}\n"
    assert (refused.returncode, out, (tmp_path / "refused").read_text()) == (2, "", line)
    assert (first.returncode, waiting.returncode) == (0, 0)
    rows = [next(line for line in text.splitlines() if "text" in line).replace("│", " ").split() for text in outputs]
    assert [row[:4] for row in rows] == [
        ["text", str(N_TEXTS - 1), "1", "0"],
        ["text", "0", str(N_TEXTS), "0"],
    ]
    encode_dataset(
        EncodeJob(
            dataset=many_texts,
            text_model=str(tiny_models.text),
            batch_size=1,
            device="cpu",
            states=tmp_path / "alone",
        )
    )
    both, alone = ({path.name: path.read_bytes() for path in at.iterdir()} for at in (store, tmp_path / "alone/text"))
    assert both == alone
    report = verify_store(store)
    assert (report.problems, report.items, report.rows) == ([], N_TEXTS, N_TEXTS - 1)
    assert len(HiddenStateStore.open(store)) == N_TEXTS
