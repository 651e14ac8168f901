"""The command line, run inside this process: the real ``main()`` with its exit code and its two streams."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from iisan.cli.entry import main


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def error_lines(self) -> list[str]:
        return self.err.splitlines()


Cli = Callable[..., Result]


def run_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[object, ...]) -> Result:
    """Runs ``iisan`` with some words in this process."""
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["iisan", *map(str, words)])
    # The program ends with its signals ignored; this process goes on, and its children would inherit that.
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)}
    try:
        with pytest.raises(SystemExit) as end:
            main()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    captured = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return Result(end.value.code, captured.out, captured.err)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    monkeypatch.setenv("COLUMNS", "80")
    return lambda *words: run_here(monkeypatch, capsys, words)
