"""Training on states that are damaged: one line that names the place, and no run is begun."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from iisan.data.checksum import sha256_of_file
from iisan.data.dataset import Dataset
from tests.cli.conftest import Cli

SHARD = "shard-00000.safetensors"


def nan(store: Path) -> None:
    states = load_file(store / SHARD)["states"]
    states[3, -1, 0] = float("nan")
    save_file({"states": states}, store / SHARD)
    manifest = json.loads((store / "manifest.json").read_text())
    manifest["shards"][0]["states"]["sha256"] = sha256_of_file(store / SHARD)
    (store / "manifest.json").write_text(json.dumps(manifest))


def flipped(store: Path) -> None:
    content = bytearray((store / SHARD).read_bytes())
    content[-3] ^= 1
    (store / SHARD).write_bytes(content)


def cut(store: Path) -> None:
    (store / SHARD).write_bytes((store / SHARD).read_bytes()[:-1])


def gone(store: Path) -> None:
    (store / SHARD).unlink()


def newer(store: Path) -> None:
    manifest = json.loads((store / "manifest.json").read_text())
    (store / "manifest.json").write_text(json.dumps({**manifest, "version": 2, "something": "new"}))


def unfinished(store: Path) -> None:
    manifest = json.loads((store / "manifest.json").read_text())
    (store / "manifest.json").write_text(json.dumps({**manifest, "unfinished": True}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (nan, f"{SHARD}, row 3 (item 'i3'): a number of tap 4 is not finite"),
        (flipped, f"the store is damaged: {SHARD}: its SHA-256 is"),
        (cut, f"{SHARD}: the shard is damaged: it has"),
        (gone, f"{SHARD}: the shard is damaged: the file is missing"),
        (newer, "manifest.json: the store has version 2, this program reads version 1"),
        (unfinished, "the run that wrote the store was interrupted; run `iisan encode"),
    ],
)
def test_training_stops_with_one_line(
    cli: Cli, tiny_dataset: Dataset, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    shutil.copytree(tiny_dataset.path, tmp_path / "ds")
    store = tmp_path / "ds" / "states" / "text"
    damage(store)
    result = cli("train", tmp_path / "ds", tmp_path / "run", "--device", "cpu")
    errors = [line for line in result.error_lines if line.startswith("error:")]
    assert (result.code, result.out, len(errors)) == (2, "", 1), result.err
    assert message in errors[0]
    assert str(store) in errors[0]
    assert not (tmp_path / "run").exists()
    verified = cli("states", "verify", store)
    assert verified.code == {newer: 2, unfinished: 0}.get(damage, 1)
