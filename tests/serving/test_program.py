"""``iisan serve`` as people start it: how it begins, ends, and what survives when it is killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import psutil
import pytest

from iisan.data.dataset import Dataset
from iisan.errors import UserError
from iisan.jobs.train import TrainOutcome
from iisan.models.additions import Additions
from iisan.models.item_table import ItemTable
from iisan.models.picture_store import PictureStore
from iisan.serving.serve import serve
from iisan.serving.settings import ServeSettings
from tests.conftest import TinyModels
from tests.serving.running import PATIENCE, program
from tests.serving.test_writing import add, picture, wait_until_ready

BODY = {"history": ["i1"], "k": 3}


@pytest.fixture
def model(trained: TrainOutcome, tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(trained.folder, folder)
    return folder


@pytest.fixture
def places(tiny_dataset: Dataset, tiny_models: TinyModels) -> list[str]:
    """Options that say where dataset and encoders are."""
    encoders = ["--encoder", f"text={tiny_models.text}", "--encoder", f"image={tiny_models.image}"]
    return ["--dataset", str(tiny_dataset.path), *encoders]


@pytest.mark.parametrize(("workers", "number"), [(1, signal.SIGTERM), (1, signal.SIGINT), (2, signal.SIGTERM)])
def test_it_ends_in_peace(trained: TrainOutcome, workers: int, number: signal.Signals) -> None:
    with program(trained.folder, "--read-only", "--workers", str(workers)) as served:
        assert httpx.post(f"{served.address}/recommend", json=BODY).status_code == 200
        children = psutil.Process(served.process.pid).children(recursive=True)
        served.process.send_signal(number)
        assert served.process.wait(PATIENCE) == 0
        _, alive = psutil.wait_procs(children, timeout=10)
        assert not alive
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{served.address}/healthz")


def test_requests_in_hand_are_answered_before_it_ends(trained: TrainOutcome) -> None:
    with program(trained.folder, "--read-only") as served:
        host, port = served.address.removeprefix("http://").split(":")
        body = b'{"history": ["i1"]}'
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
            head = b"POST /recommend HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body[:5])
            time.sleep(0.3)
            served.process.terminate()
            time.sleep(0.5)
            connection.sendall(body[5:])
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        assert served.process.wait(PATIENCE) == 0


def test_an_item_added_by_one_process_is_recommended_by_the_other(model: Path, places: list[str]) -> None:
    with program(model, *places, "--workers", "2") as served:
        workers = _workers(served.process.pid)
        assert len(workers) == 2
        with httpx.Client(base_url=served.address, timeout=PATIENCE) as client:
            deadline = time.monotonic() + PATIENCE
            while (answer := add(client, "of one of them", picture("red"), item_id="shared")).status_code == 503:
                assert time.monotonic() < deadline
                time.sleep(0.2)
            assert answer.status_code == 201, answer.text
        time.sleep(2.0)
        # Each process answers alone while the other one is stopped.
        for stopped in workers:
            stopped.suspend()
            ids = _recommended(served.address)
            stopped.resume()
            assert "shared" in ids
        # One that ends is started again, and the others answer meanwhile.
        workers[0].kill()
        for _ in range(20):
            assert "shared" in _recommended(served.address)
        metrics = httpx.get(f"{served.address}/metrics").text
        assert "iisan_items 25.0" in metrics
        deadline = time.monotonic() + PATIENCE
        while len(_workers(served.process.pid)) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert served.stop() == 0


def _workers(pid: int) -> list[psutil.Process]:
    """Processes that answer, of a program that has several."""
    found = []
    for child in psutil.Process(pid).children():
        with contextlib.suppress(psutil.Error):  # It may be ending.
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def _recommended(address: str) -> set[str]:
    """Ids recommended by whichever process takes the connection; one that is stopped may have taken it first."""
    for _ in range(20):
        try:
            answer = httpx.post(f"{address}/recommend", json={"history": ["i1"], "k": 50}, timeout=3)
        except httpx.TransportError:
            continue
        return {one["item_id"] for one in answer.json()["items"]}
    raise AssertionError("nobody answers")


def test_no_process_is_left_when_the_first_is_killed(trained: TrainOutcome) -> None:
    with program(trained.folder, "--read-only", "--workers", "2") as served:
        children = psutil.Process(served.process.pid).children(recursive=True)
        os.kill(served.process.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(children, timeout=PATIENCE)
        assert not alive


def test_processes_that_cannot_start_are_one_line(tmp_path: Path, trained: TrainOutcome) -> None:
    folder = tmp_path / "model"
    shutil.copytree(trained.folder, folder)
    (folder / "model.safetensors").write_bytes(b"no tensors")
    for workers in ("1", "2"):
        done = _fails("serve", str(folder), "--port", "0", "--read-only", "--workers", workers)
        assert "cannot be read" in done


def _fails(*arguments: str) -> str:
    """The last line of a command that fails with exit code 2."""
    command = [sys.executable, "-c", "from iisan.cli.entry import main; main()", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split()).rpartition("error:")[2]


def test_what_cannot_be_served_is_said_at_once(trained: TrainOutcome, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model folder"):
        serve(ServeSettings(model=tmp_path))
    with pytest.raises(UserError, match="--token-file"):
        serve(ServeSettings(model=trained.folder, host="0.0.0.0", port=0))
    with pytest.raises(UserError, match="no such address"):
        serve(ServeSettings(model=trained.folder, host="no.such.name.invalid", read_only=True))
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UserError, match="choose another --port"):
        serve(ServeSettings(model=trained.folder, port=taken.getsockname()[1]))


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_what_was_acknowledged_is_there_after_a_kill(model: Path, places: list[str], kills: int) -> None:
    """SIGKILL of every process while items come: those that were acknowledged are there, and none by half."""
    acknowledged: dict[str, str] = {}
    sent: dict[str, str] = {}
    for kill in range(kills):
        with program(model, *places) as served:
            _compare(model, served.address, acknowledged, sent)
            with httpx.Client(base_url=served.address, timeout=PATIENCE) as client:
                wait_until_ready(client)
                killer = threading.Timer(0.02 + 0.5 * (kill % 10) / 10, served.kill)
                killer.start()
                number = 0
                while killer.is_alive() and number < 500:
                    item_id, title = f"k{kill}-{number}", f"title {kill} {number}"
                    sent[item_id] = title
                    try:
                        answer = add(client, title, picture("red", (16 + kill, 16 + number)), item_id=item_id)
                    except httpx.TransportError:
                        break
                    assert answer.status_code == 201, answer.text
                    acknowledged[item_id] = title
                    number += 1
                killer.join()
    assert acknowledged
    table = ItemTable.load(model)
    assert table is not None
    for item_id, title in acknowledged.items():
        assert table.titles[table.row(item_id) or 0] == title


def _compare(model: Path, address: str, acknowledged: dict[str, str], sent: dict[str, str]) -> None:
    """The service knows all that was acknowledged, whole, and nothing that was never sent."""
    table = ItemTable.load(model)
    assert table is not None
    added = {item_id for item_id in table.item_ids if item_id.startswith("k")}
    assert set(acknowledged) <= added <= set(sent)
    with httpx.Client(base_url=address, timeout=PATIENCE) as client:
        for item_id in sorted(added)[-20:]:
            item = client.get(f"/items/{item_id}").json()
            assert item["title"] == sent[item_id]
            assert item["recommendable"]
            assert client.get(item["picture"]).status_code == 200
    dim = table.embeddings.shape[1]
    named = {fact.picture for one in Additions(model).read(0, dim) for fact in one.facts.values() if fact.picture}
    assert all(PictureStore(model).find(name) for name in named)
