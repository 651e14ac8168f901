"""Ctrl-C and SIGTERM: one line, an exit code of their own, nothing half-written, and the same command goes on."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.reliability.fork_server import ForkServer
from tests.reliability.works import WORKS, Inputs

LINE = "interrupted; what was committed stays, and the same command goes on or starts again"
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
INTERRUPTIONS = 4


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
@pytest.mark.parametrize("verb", WORKS)
def test_interruptions(server: ForkServer, inputs: Inputs, tmp_path: Path, verb: str, number: signal.Signals) -> None:
    work = WORKS[verb](inputs)
    place = tmp_path / "work"

    def begin() -> None:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        work.prepare(place)

    begin()
    assert server.run(*work.words(place)).code == 0
    expected = work.result(place)
    begin()
    timed = server.run(*work.words(place), number=0, watched=place)
    begin()
    moments = random.Random(f"{verb} {number}")
    interrupted = 0
    while interrupted < INTERRUPTIONS:
        watched = place if interrupted % 2 else None
        after = moments.uniform(0, timed.seconds - (timed.working if watched else 0.0))
        ended = server.run(*work.words(place), number=number, after=after, watched=watched)
        interrupted += ended.code == CODES[number]
        assert ended.code in (0, CODES[number]), (ended.code, ended.err)
        assert ended.messages == ([] if ended.code == 0 else [LINE]), ended.err
        assert [path for path in place.rglob(".*") if path.suffix in {".tmp", ".partial"}] == []
        work.check_sound(place)
        if ended.code == 0 or work.is_done(place):
            assert work.result(place) == expected
            begin()
    if not work.is_done(place):
        ended = server.run(*work.words(place))
        assert ended.code == 0, ended.err
    assert work.result(place) == expected


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_while_the_libraries_are_imported(number: signal.Signals) -> None:
    script = "from iisan.cli.entry import main; print('up', flush=True); main()"
    command = [sys.executable, "-c", script, "states", "--help"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    time.sleep(0.3)
    os.kill(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.splitlines()) == (CODES[number], "", [LINE])


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_while_the_interpreter_shuts_down(number: signal.Signals) -> None:
    at_exit = "atexit.register(lambda: (print('over', flush=True), time.sleep(0.5)))"
    script = f"import atexit, time; {at_exit}; from iisan.cli.entry import main; main()"
    command = [sys.executable, "-c", script, "states", "--help"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while (line := process.stdout.readline()) != "over\n":
        assert line
    os.kill(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")
