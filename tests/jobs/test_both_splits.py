"""Training under either split, evaluating under both, and comparing models on the same users."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from iisan.data.dataset import Dataset
from iisan.data.global_time import global_time
from iisan.data.held_out import held_out_rows
from iisan.data.importers.delimited import DelimitedImport, import_delimited
from iisan.data.leave_one_out import leave_one_out
from iisan.errors import UserError
from iisan.jobs.evaluate import EvaluateJob, evaluate_model, load_recommender
from iisan.jobs.evaluate_models import EvaluateModelsJob, evaluate_models
from iisan.jobs.evaluate_outcome import EvaluateOutcome
from iisan.jobs.train import TrainJob, TrainOutcome, train_recommender
from iisan.training.config import TrainConfig
from tests.conftest import N_ITEMS, N_USERS, TINY

Train = Callable[..., TrainOutcome]


@pytest.fixture(scope="module")
def by_time(train_tiny: Train, tmp_path_factory: pytest.TempPathFactory) -> TrainOutcome:
    """A run under the split by time; not to be written to."""
    return train_tiny(tmp_path_factory.mktemp("by-time") / "run", split="global_time", max_epochs=2)


def evaluated(outcome: TrainOutcome, dataset: Dataset, **options: object) -> EvaluateOutcome:
    return evaluate_model(EvaluateJob(model=str(outcome.folder), dataset=dataset.path, ks=[3], **options))  # type: ignore[arg-type]


def test_a_run_under_the_split_by_time(by_time: TrainOutcome, tiny_dataset: Dataset) -> None:
    expected = global_time(tiny_dataset)
    assert by_time.split.kind == "global_time"
    assert by_time.split.cuts == expected.cuts
    assert len(expected.valid) < len(expected.train)
    found = evaluated(by_time, tiny_dataset)
    assert list(found.splits) == ["global_time", "leave_one_out"]
    assert found.split.test.users.tolist() == expected.test.users.tolist()
    assert found.model.n_users == len(expected.test) == len(found.model.ranks["paper"])
    own, other = found.splits["global_time"].leak, found.splits["leave_one_out"].leak
    assert own.leak_free is True
    assert other.leak_free is False
    # Users walk on by one item a step: whoever stops before the first cut has the whole of a walk in training.
    log = tiny_dataset.interactions
    assert log.timestamp is not None
    last = leave_one_out(tiny_dataset).test.last
    assert expected.cuts is not None
    assert other.trained_on == pytest.approx((log.timestamp[last] < expected.cuts[0]).mean())


def test_a_run_under_leave_one_out(trained: TrainOutcome, tiny_dataset: Dataset) -> None:
    found = evaluated(trained, tiny_dataset)
    assert list(found.splits) == ["leave_one_out", "global_time"]
    assert found.skipped == {}
    log, split = tiny_dataset.interactions, trained.split
    assert log.timestamp is not None
    latest = log.timestamp[split.trained].max()
    leak = found.splits["leave_one_out"].leak
    assert (leak.trained_on, leak.stopped_by) == (0, 0)
    assert leak.later == pytest.approx((log.timestamp[split.test.last] < latest).mean())
    assert leak.leak_free is False
    by_valid = evaluated(trained, tiny_dataset, part="valid")
    assert by_valid.splits["leave_one_out"].leak.stopped_by == 1


def test_one_split_alone(trained: TrainOutcome, by_time: TrainOutcome, tiny_dataset: Dataset) -> None:
    assert list(evaluated(trained, tiny_dataset, splits="trained").splits) == ["leave_one_out"]
    assert list(evaluated(by_time, tiny_dataset, splits="trained").splits) == ["global_time"]
    assert list(evaluated(by_time, tiny_dataset, splits="leave_one_out").splits) == ["leave_one_out"]
    shares = evaluated(trained, tiny_dataset, splits="global_time", valid_share=0.3, test_share=0.2)
    assert shares.split.cuts == global_time(tiny_dataset, valid_share=0.3, test_share=0.2).cuts


def test_a_log_without_times(tiny_tables: Path, tmp_path: Path) -> None:
    config = DelimitedImport(
        items=tiny_tables / "items.csv", interactions=tiny_tables / "interactions.csv", timestamp_column=""
    )
    dataset = import_delimited(config, tmp_path / "untimed")
    options = {**TINY, "method": "id", "max_epochs": 1}
    job = TrainJob(dataset=dataset.path, run=tmp_path / "run")
    with pytest.raises(UserError, match="no times to split by"):
        train_recommender(job, TrainConfig.preset("default", **options, split="global_time"))
    found = evaluated(train_recommender(job, TrainConfig.preset("default", **options)), dataset)
    assert list(found.splits) == ["leave_one_out"]
    assert "no times to split by" in found.skipped["global_time"]
    assert found.first.leak.leak_free is None
    assert "cannot be judged: the log has no times" in str(found.first.leak)


def test_another_state_of_the_dataset_is_not_judged(trained: TrainOutcome, tiny_tables: Path, tmp_path: Path) -> None:
    lines = (tiny_tables / "interactions.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "log.csv").write_text("\n".join([*lines, "u0,i3,99"]) + "\n", encoding="utf-8")
    config = DelimitedImport(items=tiny_tables / "items.csv", interactions=tmp_path / "log.csv")
    dataset = import_delimited(config, tmp_path / "grown")
    for one in evaluated(trained, dataset).splits.values():
        assert one.leak.leak_free is None
        assert "another state of this one" in str(one.leak)


def without_keys(run: Path, *names: str) -> None:
    """Makes a run look as an older version left it: some options are not written down."""
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    (run / "config.yaml").write_text(yaml.safe_dump({k: v for k, v in config.items() if k not in names}))
    path = run / "model" / "config.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    for name in names:
        del data["details"]["training"][name]
    path.write_text(json.dumps(data), encoding="utf-8")
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    del facts["places"]
    (run / "run.json").write_text(json.dumps(facts), encoding="utf-8")


def test_a_run_of_an_older_version(trained: TrainOutcome, tiny_dataset: Dataset, tmp_path: Path) -> None:
    shutil.copytree(trained.folder.parent, tmp_path / "run")
    without_keys(tmp_path / "run", "split", "valid_share", "test_share", "hold_out_items", "hold_out_seed")
    found = evaluate_model(EvaluateJob(model=str(tmp_path / "run"), dataset=tiny_dataset.path, ks=[3]))
    now = evaluated(trained, tiny_dataset)
    for kind, one in now.splits.items():
        assert torch.equal(found.splits[kind].model.ranks["paper"], one.model.ranks["paper"])
    job = TrainJob(dataset=tiny_dataset.path, run=tmp_path / "run")
    again = train_recommender(job, TrainConfig.preset("default", **TINY))  # continued, not refused
    assert again.result.metrics == trained.result.metrics
    with pytest.raises(UserError, match="started with another split"):
        train_recommender(job, TrainConfig.preset("default", **TINY, split="global_time"))


def test_the_dataset_may_be_left_out(trained: TrainOutcome, tiny_dataset: Dataset, tmp_path: Path) -> None:
    named = evaluated(trained, tiny_dataset)
    for model in (trained.folder, trained.folder.parent):
        found = evaluate_model(EvaluateJob(model=str(model), ks=[3]))
        assert found.model.metrics == named.model.metrics
    shutil.copytree(trained.folder, tmp_path / "alone")
    with pytest.raises(UserError, match=r"does not say what dataset.*name the dataset"):
        evaluate_model(EvaluateJob(model=str(tmp_path / "alone")))


def test_a_run_and_its_dataset_may_move(bare_dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(bare_dataset, tmp_path / "old" / "ds")
    job = TrainJob(dataset=tmp_path / "old" / "ds", run=tmp_path / "old" / "runs" / "one")
    config = TrainConfig.preset("default", **{**TINY, "method": "id", "max_epochs": 1})
    train_recommender(job, config)
    (tmp_path / "old").rename(tmp_path / "new")
    moved = tmp_path / "new" / "runs" / "one"
    assert evaluate_model(EvaluateJob(model=str(moved))).model.n_users == N_USERS
    # Moved, it is the same run still.
    train_recommender(TrainJob(dataset=tmp_path / "new" / "ds", run=moved), config)
    (tmp_path / "new" / "ds").rename(tmp_path / "new" / "elsewhere")
    with pytest.raises(UserError, match=r"is not at .*ds.*name the dataset"):
        evaluate_model(EvaluateJob(model=str(moved)))
    # Something else under that name is not it.
    Path(tmp_path / "new" / "ds").mkdir()
    other = DelimitedImport(items=tmp_path / "items.csv", interactions=tmp_path / "log.csv")
    (tmp_path / "items.csv").write_text("item_id,title\nx,one\n", encoding="utf-8")
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp\nu,x,1\n", encoding="utf-8")
    (tmp_path / "new" / "ds").rmdir()
    import_delimited(other, tmp_path / "new" / "ds")
    with pytest.raises(UserError, match="is not at"):
        evaluate_model(EvaluateJob(model=str(moved)))


def test_ranks_say_of_which_split_they_are(by_time: TrainOutcome, tiny_dataset: Dataset, tmp_path: Path) -> None:
    found = evaluated(by_time, tiny_dataset, ranks=tmp_path / "ranks.parquet")
    rows = pq.read_table(tmp_path / "ranks.parquet").to_pylist()
    for kind, one in found.splits.items():
        own = [row for row in rows if row["split"] == kind]
        assert [row["user_id"] for row in own] == [tiny_dataset.user_ids[user] for user in one.split.test.users]
        assert [row["target"] for row in own] == [tiny_dataset.item_ids[row] for row in one.split.targets("test")]
        assert [row["rank_paper"] for row in own] == one.model.ranks["paper"].tolist()


@pytest.mark.parametrize("loss", ["in_batch", "full_softmax"])
@pytest.mark.parametrize("split", ["leave_one_out", "global_time"])
def test_held_out_items_stay_cold(
    train_tiny: Train, tiny_dataset: Dataset, tmp_path: Path, loss: str, split: str
) -> None:
    outcome = train_tiny(tmp_path / "run", hold_out_items=0.25, seed=3, loss=loss, split=split)
    rows = held_out_rows(N_ITEMS, 0.25, 3)
    assert outcome.split.held_out.tolist() == rows.tolist()
    own = outcome.model.own
    assert own is not None
    changed = own.table.weight.detach().abs().sum(dim=1) > 0
    assert not changed[rows].any()
    assert changed.sum() > N_ITEMS / 3
    found = evaluated(outcome, tiny_dataset, splits="trained")
    assert found.split.held_out.tolist() == rows.tolist()
    assert found.split.train_counts[rows].sum() == 0
    assert np.isin(found.split.targets("test"), rows).any()
    assert found.model.bands["cold"].n_users == (found.split.train_counts[found.split.targets("test")] == 0).sum()
    assert found.model.among_cold.n_candidates == (found.split.train_counts == 0).sum()
    valid = evaluated(outcome, tiny_dataset, splits="trained", part="valid")
    assert not np.isin(valid.split.targets("valid"), rows).any()
    assert valid.model.n_candidates == N_ITEMS - len(rows)


def test_validation_does_not_see_held_out_items(train_tiny: Train, tmp_path: Path) -> None:
    # One that chooses by its own seed; the metric is that of evaluating the validation part.
    outcome = train_tiny(tmp_path / "run", hold_out_items=0.2, hold_out_seed=9)
    assert outcome.split.held_out.tolist() == held_out_rows(N_ITEMS, 0.2, 9).tolist()
    job = EvaluateJob(model=str(outcome.folder.parent), part="valid", splits="trained", ks=[10])
    assert evaluate_model(job).model.metrics["paper"]["NDCG@10"] == pytest.approx(outcome.result.metrics["NDCG@10"])


def test_models_are_compared_on_the_same_users(
    trained: TrainOutcome, by_time: TrainOutcome, tiny_dataset: Dataset, tmp_path: Path
) -> None:
    names = [str(trained.folder), str(by_time.folder), str(trained.folder.parent)]
    path = tmp_path / "ranks.parquet"
    job = EvaluateModelsJob(models=names, dataset=tiny_dataset.path, ks=[3, 10], resamples=500, ranks=path)
    found = evaluate_models(job)
    assert [one.name for one in found.evaluations] == names
    assert [(one.first, one.other) for one in found.comparisons] == [(names[0], names[1]), (names[0], names[2])]
    for comparison, outcome in zip(found.comparisons, found.evaluations[1:], strict=True):
        assert set(comparison.differences) == {"leave_one_out", "global_time"}
        for kind, protocols in comparison.differences.items():
            for protocol, metrics in protocols.items():
                assert set(metrics) == {"HR@3", "HR@10", "NDCG@3", "NDCG@10"}
                for name, one in metrics.items():
                    own = outcome.splits[kind].model.metrics[protocol][name]
                    assert (one.other, one.difference) == pytest.approx((own, own - one.first))
                    assert one.low <= one.high
    assert all(one.p_value == 1 for one in found.comparisons[1].differences["leave_one_out"]["paper"].values())
    assert found.comparisons == evaluate_models(job).comparisons
    rows = pq.read_table(path)
    assert rows.num_rows == sum(len(one.split.test) for model in found.evaluations for one in model.splits.values())
    assert set(rows["model"].to_pylist()) == set(names)


@pytest.mark.parametrize(
    ("options", "differing"),
    [
        ({"min_interactions": 7}, "users under leave_one_out"),
        ({"keep_last": 4}, "histories under leave_one_out"),
        ({"valid_share": 0.05, "test_share": 0.02}, "users under global_time"),
    ],
)
def test_models_with_other_users_or_histories_are_not_compared(
    trained: TrainOutcome,
    train_tiny: Train,
    tiny_dataset: Dataset,
    tmp_path: Path,
    options: dict[str, object],
    differing: str,
) -> None:
    other = train_tiny(tmp_path / "run", max_epochs=1, **options)
    models = [str(trained.folder), str(other.folder)]
    with pytest.raises(UserError, match=f"compared with .* on other {differing}"):
        evaluate_models(EvaluateModelsJob(models=models, dataset=tiny_dataset.path))
    agreed = {"min_interactions": 5, "keep_last": 6, "valid_share": 0.1, "test_share": 0.1}
    found = evaluate_models(EvaluateModelsJob(models=models, dataset=tiny_dataset.path, resamples=100, **agreed))  # type: ignore[arg-type]
    assert len(found.comparisons) == 1


def test_models_with_other_candidates_or_splits_are_not_compared(
    trained: TrainOutcome, by_time: TrainOutcome, tiny_dataset: Dataset, tmp_path: Path
) -> None:
    models = [str(trained.folder), str(by_time.folder)]
    with pytest.raises(UserError, match=r"under global_time.*under leave_one_out.*--splits"):
        evaluate_models(EvaluateModelsJob(models=models, dataset=tiny_dataset.path, splits="trained"))
    other = load_recommender(models[1])
    other.details["training"]["catalogue"] = "interacted"
    other.details["training"]["min_interactions"] = 9
    other.save_pretrained(tmp_path / "model")
    job = EvaluateModelsJob(
        models=[models[0], str(tmp_path / "model")], dataset=tiny_dataset.path, min_interactions=9, keep_last=3
    )
    with pytest.raises(UserError, match="other candidates under leave_one_out"):
        evaluate_models(job)


def test_training_options_that_make_no_sense(trained: TrainOutcome, tiny_dataset: Dataset, tmp_path: Path) -> None:
    model = load_recommender(str(trained.folder))
    model.details["training"]["split"] = "by_moon"
    model.save_pretrained(tmp_path / "model")
    with pytest.raises(UserError, match="training option split cannot be 'by_moon'"):
        evaluate_model(EvaluateJob(model=str(tmp_path / "model"), dataset=tiny_dataset.path))


@pytest.mark.parametrize(
    "wrong", [{"valid_share": 0.6, "test_share": 0.4}, {"valid_share": 0}, {"hold_out_items": 1}, {"split": "random"}]
)
def test_options_are_checked_before_anything_is_made(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"split|share|hold_out"):
        TrainConfig.preset("default", **wrong)
