"""The verbs `add-items` and `cold-start`."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

from iisan.data.dataset import Dataset
from iisan.jobs.cold_start import ColdStartJob, cold_start
from iisan.jobs.train import TrainOutcome
from tests.cli.conftest import Cli
from tests.conftest import N_ITEMS, TINY, TinyModels


def test_items_are_added_and_recommended(
    cli: Cli, trained: TrainOutcome, tiny_models: TinyModels, tiny_tables: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(trained.folder.parent, tmp_path / "run")
    rows = list(csv.reader((tiny_tables / "items.csv").open(encoding="utf-8")))
    with (tmp_path / "new.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([rows[0], *([f"new{row[0]}", f"a new {row[1]}", row[2]] for row in rows[1:5])])
    words = ["add-items", run, tmp_path / "new.csv", "--media-root", tiny_tables, "--device", "cpu"]
    encoders = ["--encoder", f"text={tiny_models.text}", "--encoder", f"image={tiny_models.image}"]
    refused = cli(*words)
    assert (refused.code, len(refused.error_lines)) == (2, 1), refused.err
    assert "--encoder MODALITY=" in refused.err
    added = cli(*words, *encoders)
    assert added.code == 0, added.err
    assert str(N_ITEMS + 4) in added.out
    assert str(run / "model") in added.out
    answered = cli("recommend", run, "--history", "newi1 i0", "--k", 100, "--format", "json")
    assert {"newi0", "newi2", "newi3"} <= {item["item_id"] for item in json.loads(answered.out)["items"]}
    again = cli(*words, *encoders)
    assert again.code == 0
    assert next(line.split() for line in again.out.splitlines() if "unchanged" in line)[-2] == "4"
    (tmp_path / "new.csv").write_text("item_id,title\nnewi0,otherwise\n", encoding="utf-8")
    changed = cli(*words, *encoders)
    assert (changed.code, changed.out) == (2, "")
    assert "--on-existing replace" in changed.err.splitlines()[-1]
    assert cli(*words, *encoders, "--on-existing", "replace").code == 0


def test_cold_start_is_printed_and_given_as_json(
    cli: Cli, tiny_dataset: Dataset, trained: TrainOutcome, tmp_path: Path
) -> None:
    flags = [word for name, value in TINY.items() for word in (f"--{name.replace('_', '-')}", value)]
    assert cli("train", tiny_dataset.path, tmp_path / "run", *flags, "--hold-out-items", 0.25).code == 0
    shown = cli("cold-start", tmp_path / "run")
    assert shown.code == 0, shown.err
    for word in ("popularity", "chance", "percentile", "among the 6 new ones"):
        assert word in shown.out
    assert "random" not in shown.out
    given = cli("cold-start", tmp_path / "run", tiny_dataset.path, "--history", "all", "--ks", "2", "--format", "json")
    assert given.code == 0, given.err
    expected = cold_start(ColdStartJob(model=str(tmp_path / "run"), dataset=tiny_dataset.path, history="all", ks=[2]))
    found = json.loads(given.out)
    assert found["among_new"]["metrics"]["model"]["paper"] == expected.among_new.metrics["model"]["paper"]
    assert found["n_new_items"] == 6
    refused = cli("cold-start", trained.folder.parent)
    assert (refused.code, len(refused.error_lines)) == (2, 1)
    assert "train one with --hold-out-items" in refused.err
