"""The library's names of options come out as flags."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from iisan.cli.app import app, run
from iisan.cli.flags import in_flags, options_of


@pytest.mark.parametrize(
    ("said", "printed"),
    [
        ("leave them out with unknown_items=drop", "leave them out with --unknown-items drop"),
        ("lower min_interactions or bring a larger log", "lower --min-interactions or bring a larger log"),
        ("give media_root or media_tar, not both", "give --media-root or --media-tar, not both"),
        ("mend column 'keep_last'", "mend column 'keep_last'"),
        ("look at /data/keep_last/x", "look at /data/keep_last/x"),
        ("use --keep-last 3, not seed or loss", "use --keep-last 3, not seed or loss"),
    ],
)
def test_names_of_options(said: str, printed: str) -> None:
    assert in_flags(said, options_of(typer.main.get_command(app))) == printed


def test_an_error_names_the_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "items.csv").write_text("item_id,title\na,A\n", encoding="utf-8")
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp\nu,a,1\nu,b,2\n", encoding="utf-8")
    words = ["import", "delimited", str(tmp_path / "ds"), "--items", str(tmp_path / "items.csv")]
    words += ["--interactions", str(tmp_path / "log.csv"), "--text", "{title}"]
    monkeypatch.setattr("sys.argv", ["iisan", *words])
    assert run() == 2
    error = capfd.readouterr().err
    assert "--unknown-items drop" in error
    assert "unknown_items" not in error
