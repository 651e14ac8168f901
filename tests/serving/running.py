"""A service on a real socket of this machine, in a thread of the tests or as the program that people start."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from iisan.serving.bearer_token import Token
from iisan.serving.serve import _bound
from iisan.serving.server import build_server, open_service
from iisan.serving.service import Service
from iisan.serving.settings import ServeSettings

PATIENCE = 60.0


@dataclass
class Running:
    """A service that answers."""

    service: Service
    port: int
    client: httpx.Client


@contextmanager
def running(model: Path, token: str | None = None, **options: Any) -> Iterator[Running]:
    """Serves a model from a thread; `options` are those of the command line."""
    settings = ServeSettings(model=model, **{"device": "cpu", "threads": 1, "stop_seconds": 5, **options})
    listener = _bound("127.0.0.1", 0)
    port = listener.getsockname()[1]
    service = open_service(settings, None if token is None else Token.of(token, "test"))
    up = threading.Event()
    server = build_server(service, up.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    assert up.wait(PATIENCE), "the service did not start"
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
        try:
            yield Running(service, port, client)
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
            assert not thread.is_alive(), "the service did not stop"


@dataclass
class Program:
    """``iisan serve`` as a program, in a process group of its own."""

    process: subprocess.Popen[str]
    address: str

    def kill(self) -> None:
        """Ends every process of it at once, as a power cut would."""
        everything = psutil.Process(self.process.pid)
        for process in [everything, *everything.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait(PATIENCE)

    def stop(self) -> int:
        """Asks it to stop, and gives the exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE)


@contextmanager
def program(model: Path, *options: str, **environment: str) -> Iterator[Program]:
    """Starts ``iisan serve`` on a free port, and waits until it answers."""
    command = [sys.executable, "-c", "from iisan.cli.entry import main; main()", "serve", str(model)]
    command += ["--port", "0", "--device", "cpu", "--threads", "1", *options]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline().split()
        assert line[:2] == ["serving", "at"], line
        yield Program(process, line[2])
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)
        assert process.stdout is not None
        process.stdout.close()
