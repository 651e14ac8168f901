"""A disk that fills up: one line that says so, what was there is still valid, and with room the same command ends."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import pytest

from tests.reliability.fork_server import ForkServer
from tests.reliability.works import WORKS, WORKS_WITH_A_FILE, Inputs

PAGE = 4096
# How much room is left, from nothing to nearly what a verb needs.
LEVELS = 3

logger = logging.getLogger(__name__)


class Disk:
    """The server's small file system, seen from outside.

    Attributes:
        root: Where the work is.
    """

    def __init__(self, server: ForkServer) -> None:
        self.root = Path(f"/proc/{server.pid}/root{server.small_disk}")
        self._filler = self.root / ".filler"

    def free(self) -> int:
        facts = os.statvfs(self.root)
        return facts.f_bavail * facts.f_frsize

    def clear(self) -> None:
        for path in self.root.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def leave(self, n_bytes: int) -> None:
        self._filler.write_bytes(bytes(self.free() - n_bytes))

    def make_room(self) -> None:
        self._filler.unlink()

    def copy_to(self, folder: Path) -> None:
        """To where paths mean the same to us; here, the real path of a file is one outside."""
        shutil.copytree(self.root, folder)


def size_of(folder: Path) -> int:
    """What files and folders take there, in whole pages."""
    return sum(-(-path.stat().st_size // PAGE) * PAGE for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("verb", [*WORKS, *WORKS_WITH_A_FILE])
def test_full_disk(server: ForkServer, inputs: Inputs, tmp_path: Path, verb: str) -> None:
    place = server.small_disk
    if place is None:
        pytest.skip("no file system may be mounted here (unshare --map-root-user --mount)")
    disk = Disk(server)
    work = {**WORKS, **WORKS_WITH_A_FILE}[verb](inputs)
    words = work.words(place)

    def begin(level: int | None = None) -> None:
        disk.clear()
        work.prepare(disk.root)
        if level is not None:
            disk.leave(level)

    begin()
    there = size_of(disk.root)
    assert server.run(*words).code == 0
    expected = work.result(disk.root)
    # What is replaced stays until the end, so all that is written needs room beside it.
    needed = size_of(disk.root) - (0 if verb == "import over" else there)
    assert needed >= PAGE
    failed = 0
    for level in range(0, needed, max(PAGE, needed // LEVELS // PAGE * PAGE)):
        begin(level)
        ended = server.run(*words)
        assert ended.code in (0, 2), ended.err
        failed += ended.code == 2
        if ended.code == 2:
            assert len(ended.messages) == 1, ended.err
            assert ended.messages[0].startswith(f"error: {place}"), ended.err
            assert "No space left on device" in ended.messages[0]
            assert "make room there" in ended.messages[0]
        disk.make_room()
        disk.copy_to(tmp_path / f"copy {level}")
        work.check_sound(tmp_path / f"copy {level}")
        assert [path for path in disk.root.rglob(".*") if path.suffix in {".tmp", ".partial", ".old"}] == []
        if ended.code == 2:
            again = server.run(*words)
            assert again.code == 0, again.err
        assert work.result(disk.root) == expected
    assert failed >= min(LEVELS, needed // PAGE) / 2
    logger.info("%s: %d times full within %.0f KiB", verb, failed, needed / 1024)
