"""Killed twenty times at random moments, each verb ends with the bytes of a run that was never broken off."""

from __future__ import annotations

import logging
import random
import shutil
import signal
from pathlib import Path

import pytest

from tests.reliability.fork_server import Ended, ForkServer
from tests.reliability.works import WORKS, Inputs, Work

# How often each piece of work is killed before it is left to end: twenty kills in all.
KILLS = [1, 1, 1, 1, 1, 2, 2, 3, 8]
# So often a kill must have left something unfinished behind, or the moments are badly chosen.
LEAST_TRACES = 5

logger = logging.getLogger(__name__)


class Killer:
    """Breaks a piece of work off again and again.

    Attributes:
        landed: Runs that a kill ended.
        traces: Those of them that left something else than what was there before and what is there at the end.
    """

    def __init__(self, server: ForkServer, work: Work, folder: Path, seed: str) -> None:
        self.server = server
        self.work = work
        self.folder = folder
        self.random = random.Random(seed)
        self.landed = 0
        self.traces = 0
        whole = self.begin()
        ended = server.run(*work.words(whole))
        assert ended.code == 0, ended.err
        self.expected = work.result(whole)
        # The first run imported what this one, and all later ones, find there.
        place = self.begin()
        self.timed = server.run(*work.words(place), number=0, watched=place)

    def begin(self) -> Path:
        # Always under the same path, for a manifest names files.
        place = self.folder / "work"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        self.work.prepare(place)
        return place

    def run_and_kill(self, place: Path) -> Ended:
        """Every other kill falls between the first change to a file and the end, for reading may take longer."""
        watched = place if self.landed % 2 else None
        latest = self.timed.seconds - (self.timed.working if watched else 0.0)
        after = self.random.uniform(0, latest)
        return self.server.run(*self.work.words(place), number=signal.SIGKILL, after=after, watched=watched)

    def kill(self, times: int) -> None:
        """One piece of work, killed so often or until it ends by itself, then left to end."""
        place = self.begin()
        for _ in range(times):
            before = everything(place)
            ended = self.run_and_kill(place)
            if ended.code == 0:
                break
            assert ended.code == -signal.SIGKILL, ended.err
            self.landed += 1
            self.traces += everything(place) != before
            self.work.check_sound(place)
            if self.work.is_done(place):
                break
        else:
            ended = self.server.run(*self.work.words(place))
            assert ended.code == 0, ended.err
        self.work.check_sound(place)
        result = self.work.result(place)
        assert result.keys() == self.expected.keys()
        assert [path for path, content in result.items() if content != self.expected[path]] == []


def everything(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("verb", WORKS)
def test_twenty_kills(server: ForkServer, inputs: Inputs, tmp_path: Path, verb: str) -> None:
    killer = Killer(server, WORKS[verb](inputs), tmp_path, seed=verb)
    for times in KILLS:
        killer.kill(times)
    while killer.landed < sum(KILLS):
        killer.kill(1)
    assert killer.traces >= LEAST_TRACES
    logger.info("%s: %.2f s, %d kills, %d left traces", verb, killer.timed.seconds, killer.landed, killer.traces)
