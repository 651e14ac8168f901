"""Tables of numbers on a narrow terminal."""

from __future__ import annotations

import io

from rich.console import Console

from iisan.cli.narrow_table import Heading, narrow_table

WIDE = "trainable parameters"


def shown(width: int) -> str:
    headings = [
        Heading("method", numeric=False),
        *map(Heading, ["TPME", "HR@10, %", "s of encoding, once", WIDE, WIDE]),
    ]
    rows = [["iisan-uncached", "0.358", "1.70", "98.2", "45,116,289", "45,116,289"], ["id", *["0"] * 5]]
    console = Console(file=io.StringIO(), width=width)
    console.print(narrow_table("Methods", headings, rows))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_nothing_is_cut_at_80_columns() -> None:
    text = shown(80)
    assert "…" not in text
    assert text.count("45,116,289") == 2
    assert "iisan-uncached" in text
    assert max(map(len, text.splitlines())) <= 80


def test_headings_are_broken_between_words_only() -> None:
    words = {word for line in shown(80).splitlines()[1:6] for word in line.split()}
    assert {"trainable", "parameters", "encoding,", "once"} <= words
