"""``iisan states import``: what the library does, from a command line; faults are one line and exit code 2."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Cli
from tests.conftest import N_ITEMS, NO_TEXT

ITEMS = [f"i{row}" for row in range(N_ITEMS)]
WITH_TEXT = [item for row, item in enumerate(ITEMS) if row not in NO_TEXT]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Two files of states with their ids beside them, the second with a layer that is the same for all."""
    folder = tmp_path / "mine, and yours"
    folder.mkdir()
    states = np.random.default_rng(0).standard_normal((len(WITH_TEXT), 3, 4)).astype(np.float32)
    states[:, 1] = 1
    for name, part in {"a": slice(0, 9), "b": slice(9, None)}.items():
        np.save(folder / f"{name}.npy", states[part])
        (folder / f"{name}.txt").write_text("\n".join(WITH_TEXT[part]) + "\n")
    return folder


def test_states_are_imported_looked_at_and_trained_on(
    cli: Cli, bare_dataset: Path, files: Path, tmp_path: Path
) -> None:
    shutil.copytree(bare_dataset, tmp_path / "ds")
    words = ("states", "import", tmp_path / "ds", "text", "--encoder-name", "mine")
    options = ("--taps", "0,2,4", "--pooling", "first", "--dtype", "float16")
    done = cli(*words, "--states", files / "a.npy", "--states", files / "b.npy", *options)
    assert (done.code, done.err) == (0, "")
    rows = [[cell.strip() for cell in line.split("│")[1:3]] for line in done.out.splitlines() if "│" in line]
    assert rows == [
        ["imported", str(len(WITH_TEXT))],
        ["there already, or the same as another's", "0"],
        ["taps that are the same for all, stored once", "2"],
    ]
    store = tmp_path / "ds" / "states" / "text"
    info = cli("states", "info", store)
    assert "'imported': True" in " ".join(info.out.split())
    assert cli("states", "verify", store).out == ("22 items in 1 shards, imported states of 'mine': all well\n")
    train = ("train", tmp_path / "ds", tmp_path / "run", "--modalities", "text")
    assert cli(*train, "--max-epochs", 1, "--dim", 8, "--bottleneck", 4, "--device", "cpu").code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("text",), "option --states: it is missing"),
        (("text", "--states", "FILES"), "option --encoder-name: it is missing"),
        (("text", "--states", "FILES", "--encoder-name", "x", "--taps", "0,one,2"), "option --taps"),
        (("text", "--states", "FILES", "--encoder-name", "x", "--taps", "0,2"), "2 layer numbers for 3 taps"),
        (("text", "--states", "FILES", "--encoder-name", "x", "--dtype", "int8"), "option --dtype"),
        (("text", "--states", "FILES", "--encoder-name", "x", "--on-missing", "wait"), "option --on-missing"),
        (("text", "--states", "nowhere.npy", "--encoder-name", "x"), "nowhere.npy: no such file; name a file"),
        (("text", "--states", "nowhere.safetensors", "--encoder-name", "x"), "no such file; name a .safetensors file"),
        (
            ("image", "--states", "FILES", "--encoder-name", "x"),
            "2 ids are of no item of the catalogue, or of one without such content: 'i3', 'i11'",
        ),
        (("../text", "--states", "FILES", "--encoder-name", "x"), "a modality cannot be named '../text'"),
    ],
)
def test_faults_are_one_line(
    cli: Cli, bare_dataset: Path, files: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    given = [str(files) if word == "FILES" else word for word in words]
    result = cli("states", "import", bare_dataset, *given, "--output", tmp_path / "out")
    assert (result.code, result.out, len(result.error_lines)) == (2, "", 1), result.err
    assert message in result.err
    assert not (tmp_path / "out").exists()
