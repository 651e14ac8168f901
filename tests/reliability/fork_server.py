"""Runs the command line in children of one process that has imported everything, and sends them signals.

Imports take seconds and a fork milliseconds, so the moment of a signal falls into the work and not into the start.
As a program it reads a request a line, ``{"words": [...], "number": 9, "after": 0.1, "watched": null}``, forks a child
that runs ``iisan`` with those words, sends it the signal so many seconds after its start (or after the first change in
the folder watched) if it still runs, and answers with a line.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

# What a kill can cost: so little that the tiny catalogue is several times that.
SHARD_ROWS = ITEMS_AT_ONCE = 4
SMALL_DISK = "8m"
BUG = 99
# Between two looks at a folder that is watched.
LOOK_SECONDS = 0.002


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        code: Its exit code, or minus the signal that ended it.
        signalled: Whether it still ran at the moment of the signal.
        working: Seconds from the start to the first change in the folder watched, 0 without one.
        seconds: From the start to the end.
        out: Standard output.
        err: Standard error.
    """

    code: int
    signalled: bool
    working: float
    seconds: float
    out: str
    err: str

    @property
    def messages(self) -> list[str]:
        """Lines of standard error that are neither progress nor log."""
        lines = [line.rstrip() for line in self.err.splitlines()]
        return [line for line in lines if line and not line.startswith(("epoch ", "[", " "))]


class ForkServer:
    """The program as a context manager.

    Args:
        small_disk: A folder. Over it the program mounts a file system of `SMALL_DISK` that only it sees; others find it
            below ``/proc/PID/root``. None: it mounts nothing.
    """

    def __init__(self, small_disk: Path | None = None) -> None:
        self.small_disk = small_disk
        prefix = [] if small_disk is None else with_mount(small_disk)
        environment = {
            **os.environ,
            # Nothing may run in parallel before the fork: a child has only the thread that forked.
            **{"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
            **{"COLUMNS": "80", "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
        }
        self._process = subprocess.Popen(
            [*prefix, sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=Path(__file__).parents[2],
        )

    def __enter__(self) -> Self:
        assert self._answer() == "ready"
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)

    @property
    def pid(self) -> int:
        """Of the process that forks."""
        return self._process.pid

    def run(self, *words: object, number: int | None = None, after: float = 0.0, watched: Path | None = None) -> Ended:
        """Runs ``iisan`` with some words and, where a number is given, sends it that signal (0: none)."""
        assert self._process.stdin is not None
        folder = None if watched is None else str(watched)
        request = {"words": list(map(str, words)), "number": number, "after": after, "watched": folder}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._answer()))

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the server died"
        return line.rstrip("\n")


def with_mount(folder: Path) -> list[str]:
    """Words before a command that make it see a small file system at a folder."""
    mount = f'mount -t tmpfs -o size={SMALL_DISK} none "$0" && exec "$@"'
    return ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, str(folder)]


def serve() -> None:
    """Answers requests until the input ends."""
    import torch

    from iisan.jobs import append_items
    from iisan.states.encode_items import encode_items

    torch.set_num_threads(1)
    importlib.import_module("iisan.cli.app")
    defaults = encode_items.__kwdefaults__
    assert defaults is not None
    defaults["shard_rows"] = SHARD_ROWS
    append_items.ITEMS_AT_ONCE = ITEMS_AT_ONCE
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(_run(**json.loads(line))), flush=True)


def _run(words: list[str], number: int | None, after: float, watched: str | None) -> dict[str, Any]:
    before = _files(watched)
    out, err, imported = (os.memfd_create(name) for name in ("out", "err", "imported"))
    started, begins = os.pipe()
    child = os.fork()
    if child == 0:
        _be_iisan(words, out, err, imported, begins)
    os.close(begins)
    os.read(started, 1)
    os.close(started)
    beginning = time.perf_counter()
    descriptor = os.pidfd_open(child)
    while watched is not None and _files(watched) == before and _still_running(descriptor, LOOK_SECONDS):
        pass
    working = time.perf_counter() - beginning
    signalled = number is not None and _still_running(descriptor, after)
    os.close(descriptor)
    if number is not None and signalled:
        os.kill(child, number)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    seconds = time.perf_counter() - beginning
    # What a child imported when it needed it is there from now on, and its children spend their time on the work.
    for name in _text(imported).splitlines():
        importlib.import_module(name)
    # A child's collector would otherwise look at, and so copy, all that is imported.
    gc.collect()
    gc.freeze()
    assert threading.active_count() == 1
    texts = {"out": _text(out), "err": _text(err)}
    return {"code": code, "signalled": signalled, "working": working, "seconds": seconds, **texts}


def _files(folder: str | None) -> set[tuple[str, int, int]]:
    """What is in a folder: paths, sizes and times."""
    found = set()
    for path, _, names in os.walk(folder) if folder else ():
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # It may be renamed just now.
                facts = Path(path, name).stat()
                found.add((f"{path}/{name}", facts.st_size, facts.st_mtime_ns))
    return found


def _still_running(descriptor: int, seconds: float) -> bool:
    """Whether a process does not end within so many seconds."""
    return not select.select([descriptor], [], [], seconds)[0]


def _be_iisan(words: list[str], out: int, err: int, imported: int, begins: int) -> None:
    """Runs the command line and ends the process: never returns."""
    from iisan.cli.entry import main

    code: Any = BUG
    known = set(sys.modules)
    try:
        os.dup2(out, 1)
        os.dup2(err, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv = ["iisan", *words]
        os.write(begins, b"!")
        main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    if code == 0:
        os.write(imported, "\n".join(name for name in sys.modules if _can_be_found(name, known)).encode())
    os._exit(code)


def _can_be_found(name: str, known: set[str]) -> bool:
    """Whether a module is new and not made on the fly."""
    return name not in known and getattr(sys.modules[name], "__spec__", None) is not None


def _text(descriptor: int) -> str:
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        return file.read().decode()


if __name__ == "__main__":
    serve()
