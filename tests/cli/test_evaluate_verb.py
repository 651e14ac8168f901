"""``iisan evaluate``: one model or several, with the dataset named or written down by the run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from iisan.cli.consoles import results
from iisan.data.dataset import Dataset
from iisan.jobs.evaluate import EvaluateJob, evaluate_model
from iisan.jobs.evaluate_models import EvaluateModelsJob, evaluate_models
from iisan.jobs.train import TrainOutcome
from tests.cli.conftest import Cli


def test_json_has_all_of_it(cli: Cli, trained: TrainOutcome, tiny_dataset: Dataset) -> None:
    answer = cli("evaluate", trained.folder, tiny_dataset.path, "--ks", "3", "--format", "json")
    assert answer.code == 0, answer.err
    data = json.loads(answer.out)
    expected = evaluate_model(EvaluateJob(model=str(trained.folder), dataset=tiny_dataset.path, ks=[3]))
    assert data["model"]["metrics"] == expected.model.metrics
    assert data["popularity"]["metrics"] == expected.popularity.metrics
    assert data["comparisons"] == []
    (model,) = data["models"]
    assert (model["name"], model["skipped"]) == (str(trained.folder), {})
    assert list(model["splits"]) == ["leave_one_out", "global_time"]
    for kind, one in model["splits"].items():
        found = expected.splits[kind]
        assert one["model"]["metrics"] == found.model.metrics
        assert one["leak"]["leak_free"] is False
        assert one["leak"]["later"] == found.leak.later
        assert one["leak"]["why"] == str(found.leak)
        assert set(one["model"]["bands"]) == {"head", "middle", "tail", "cold"}
        assert one["model"]["bands"]["head"]["metrics"] == found.model.bands["head"].metrics
        assert one["popularity"]["among_cold"]["n_candidates"] == found.popularity.among_cold.n_candidates
        assert one["cuts"] == (None if kind == "leave_one_out" else list(found.split.cuts or ()))
        assert one["unranked"] == {"new": found.split.unranked["test"].new, "held_out": 0}


def test_the_dataset_may_be_left_out_named_last_or_by_its_option(
    cli: Cli, trained: TrainOutcome, tiny_dataset: Dataset
) -> None:
    ask = ("evaluate", trained.folder, "--ks", "3", "--format", "json")
    answers = [cli(*ask), cli(*ask, tiny_dataset.path), cli(*ask, "--dataset", tiny_dataset.path)]
    assert [one.code for one in answers] == [0, 0, 0], answers[0].err
    assert len({one.out for one in answers}) == 1
    twice = cli(*ask, tiny_dataset.path, "--dataset", tiny_dataset.path)
    assert (twice.code, len(twice.error_lines)) == (2, 1)
    assert "the dataset is named twice" in twice.err


def test_several_models(cli: Cli, trained: TrainOutcome, tiny_dataset: Dataset) -> None:
    models = (trained.folder, trained.folder.parent)
    words = ("--ks", "3", "--resamples", "200", "--seed", "5", "--format", "json")
    answer = cli("evaluate", *models, tiny_dataset.path, *words)
    assert answer.code == 0, answer.err
    data = json.loads(answer.out)
    assert [one["name"] for one in data["models"]] == [str(model) for model in models]
    (comparison,) = data["comparisons"]
    job = EvaluateModelsJob(
        models=[str(one) for one in models], dataset=tiny_dataset.path, ks=[3], resamples=200, seed=5
    )
    expected = evaluate_models(job).comparisons[0]
    found = comparison["differences"]["global_time"]["keep_target"]["NDCG@3"]
    assert found == vars(expected.differences["global_time"]["keep_target"]["NDCG@3"])


@pytest.mark.parametrize("several", [False, True])
def test_tables_fit_eighty_columns(
    cli: Cli, trained: TrainOutcome, tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch, several: bool
) -> None:
    monkeypatch.setattr(results, "width", 80)
    models = (trained.folder, trained.folder.parent) if several else (trained.folder,)
    answer = cli("evaluate", *models, tiny_dataset.path, "--resamples", "100")
    assert answer.code == 0, answer.err
    assert "…" not in answer.out
    lines = answer.out.splitlines()
    # Of a table every line is padded to its width, and two blanks are between cells.
    rows = [re.split(r"\s{2,}", line.strip()) for line in lines if len(re.split(r"\s{2,}", line.strip())) > 2]
    cells = {tuple(cell.strip() for cell in row[:2]) for row in rows}
    assert {("model", "paper"), ("popularity", "keep_target")} <= cells
    assert {row[0].strip() for row in rows} >= {"head", "middle", "tail", "cold", "cold among cold"}
    assert max(len(line) for line in lines if set(line.strip()) == {"─"}) <= 80
    assert len([line for line in lines if line.startswith("leave_one_out: not leak-free: ")]) == len(models)
    assert ({"interval", "difference"} <= set(answer.out.split())) == several
    names = {"HR@5", "HR@10", "HR@20", "NDCG@5", "NDCG@10", "NDCG@20"}
    assert (names <= {row[0].strip() for row in rows}) == several


def test_a_dataset_that_no_run_wrote_down(cli: Cli, trained: TrainOutcome, tmp_path: Path) -> None:
    trained.model.save_pretrained(tmp_path / "model")
    answer = cli("evaluate", tmp_path / "model")
    assert (answer.code, len(answer.error_lines)) == (2, 1)
    assert "does not say what dataset it was trained on" in answer.err
    assert "DATASET" in answer.err


def test_resamples_and_models_are_checked(cli: Cli, trained: TrainOutcome, tiny_dataset: Dataset) -> None:
    for words, message in (
        ((trained.folder, tiny_dataset.path, "--resamples", "10"), "option --resamples"),
        ((trained.folder, "nowhere", tiny_dataset.path), "nowhere"),
        ((), "MODELS is missing"),
    ):
        answer = cli("evaluate", *words)
        assert (answer.code, answer.out, len(answer.error_lines)) == (2, "", 1)
        assert message in answer.err
