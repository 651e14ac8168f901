"""The main job on a tiny real dataset: encode, train, evaluate, recommend."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
import yaml

from iisan.data.dataset import Dataset
from iisan.data.importers.delimited import DelimitedImport, import_delimited
from iisan.data.leave_one_out import leave_one_out
from iisan.errors import UserError
from iisan.jobs.encode import EncodeJob, encode_dataset
from iisan.jobs.evaluate import EvaluateJob, evaluate_model
from iisan.jobs.train import TrainJob, TrainOutcome, train_recommender
from iisan.models.recommender import Recommender
from iisan.states.store import HiddenStateStore
from iisan.training.config import PAPER, TrainConfig
from tests.conftest import N_ITEMS, N_USERS, NO_CONTENT, NO_PICTURE, NO_TEXT, TINY


@pytest.fixture
def copy(bare_dataset: Path, tmp_path: Path) -> Path:
    shutil.copytree(bare_dataset, tmp_path / "dataset")
    return tmp_path / "dataset"


def offered(outcome: TrainOutcome) -> set[str]:
    lists = outcome.model.recommend([["i0"], ["i1"]], k=N_ITEMS, exclude_seen=False)
    return {item.item_id for items in lists for item in items}


def test_encode_fills_a_store_a_modality_and_then_reuses_it(copy: Path, encode_job: Callable[..., EncodeJob]) -> None:
    first = encode_dataset(encode_job(copy))
    assert {name: (report.encoded, report.missing) for name, report in first.items()} == {
        "image": (N_ITEMS - len(NO_PICTURE), len(NO_PICTURE)),
        "text": (N_ITEMS - len(NO_TEXT), len(NO_TEXT)),
    }
    again = encode_dataset(encode_job(copy))
    assert {name: (report.encoded, report.reused) for name, report in again.items()} == {
        "image": (0, N_ITEMS - len(NO_PICTURE)),
        "text": (0, N_ITEMS - len(NO_TEXT)),
    }
    store = HiddenStateStore.open(copy / "states" / "text")
    assert store.taps == [0, 2, 4]
    assert store.manifest.encoder["pooling"] == "mean"


def test_encode_one_modality_elsewhere_with_other_choices(
    copy: Path, tmp_path: Path, encode_job: Callable[..., EncodeJob]
) -> None:
    job = encode_job(copy, modality="text", states=tmp_path / "elsewhere", taps=[1, 3], pooling="first")
    assert list(encode_dataset(job)) == ["text"]
    store = HiddenStateStore.open(tmp_path / "elsewhere" / "text")
    assert store.taps == [1, 3]
    assert store.manifest.encoder["pooling"] == "first"
    assert not (copy / "states").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"modality": "sound"}, "no modality 'sound'.*image"), ({"revision": "main"}, "--revision needs --modality")],
)
def test_encode_refuses_in_one_line(
    copy: Path, encode_job: Callable[..., EncodeJob], options: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        encode_dataset(encode_job(copy, **options))


@pytest.mark.parametrize("loss", ["in_batch", "full_softmax"])
@pytest.mark.parametrize("method", ["iisan", "frozen", "id"])
def test_every_method_and_loss_trains_evaluates_and_recommends(
    tmp_path: Path, tiny_dataset: Dataset, train_tiny: Callable[..., TrainOutcome], method: str, loss: str
) -> None:
    outcome = train_tiny(tmp_path / "run", method=method, loss=loss)
    assert outcome.folder == tmp_path / "run" / "model"
    assert outcome.model.config.item_encoder.kind == method
    assert 1 <= len(outcome.result.history) <= TINY["max_epochs"]
    evaluated = evaluate_model(EvaluateJob(model=str(tmp_path / "run"), dataset=tiny_dataset.path, ks=[3, 10]))
    assert set(evaluated.model.metrics["paper"]) == {"HR@3", "HR@10", "NDCG@3", "NDCG@10", "MRR"}
    assert evaluated.model.n_users == N_USERS
    assert evaluated.model.n_candidates == N_ITEMS
    # With ids, items without content can be offered as well: all are learned here.
    wanted = set(tiny_dataset.item_ids) - (set() if method == "id" else {f"i{row}" for row in NO_CONTENT})
    assert offered(outcome) == wanted


def test_the_reported_validation_metrics_are_those_of_the_saved_model(
    trained: TrainOutcome, tiny_dataset: Dataset
) -> None:
    evaluated = evaluate_model(EvaluateJob(model=str(trained.folder), dataset=tiny_dataset.path, part="valid", ks=[10]))
    for name, value in trained.result.metrics.items():
        assert evaluated.model.metrics["paper"][name] == pytest.approx(value, abs=1e-9)
    assert trained.model.details["metrics"] == {f"validation {k}": v for k, v in trained.result.metrics.items()}


@pytest.mark.parametrize("names", [["text"], ["image"], ["text", "image"]])
def test_a_subset_of_the_modalities(tmp_path: Path, train_tiny: Callable[..., TrainOutcome], names: list[str]) -> None:
    outcome = train_tiny(tmp_path / "run", modalities=names, max_epochs=1)
    assert set(outcome.model.details["encoders"]) == set(names)
    missing = set.intersection(*({"text": NO_TEXT, "image": NO_PICTURE}[name] for name in names))
    assert offered(outcome) == {f"i{row}" for row in range(N_ITEMS) if row not in missing}


@pytest.mark.parametrize("towers", ["intra", "inter"])
def test_some_of_the_towers(tmp_path: Path, train_tiny: Callable[..., TrainOutcome], towers: str) -> None:
    names = {name for name, _ in train_tiny(tmp_path / "run", towers=towers, max_epochs=1).model.named_parameters()}
    assert any("item_encoder.inter" in name for name in names) == (towers == "inter")
    assert any("item_encoder.intra" in name for name in names) == (towers == "intra")


def test_the_paper_preset_is_followed(tmp_path: Path, tiny_dataset: Dataset) -> None:
    config = TrainConfig.preset("paper", max_epochs=1, device="cpu")
    for name, value in PAPER.items():
        assert name == "max_epochs" or getattr(config, name) == value
    outcome = train_recommender(TrainJob(dataset=tiny_dataset.path, run=tmp_path / "run", preset="paper"), config)
    assert outcome.model.config.whitening == {}
    assert outcome.model.config.similarity == "dot"
    assert outcome.model.max_length == 10
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["preset"] == "paper"


def test_the_run_folder_tells_what_the_run_was(trained: TrainOutcome, tiny_dataset: Dataset) -> None:
    run = trained.folder.parent
    assert {path.name for path in run.iterdir()} == {
        "config.yaml",
        "run.json",
        "metrics.jsonl",
        "last.safetensors",
        "best.safetensors",
        "model",
    }
    assert not list(run.parent.glob(".*"))
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert facts["dataset"]["sha256"] == tiny_dataset.manifest.sha256
    assert set(facts["encoders"]) == {"image", "text"}
    assert {"iisan", "torch", "python"} <= set(facts["versions"])
    resolved = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    assert TrainConfig(**{key: value for key, value in resolved.items() if key != "preset"}).dim == TINY["dim"]


def test_the_same_call_again_changes_nothing(tmp_path: Path, train_tiny: Callable[..., TrainOutcome]) -> None:
    first = train_tiny(tmp_path / "run")
    before = {str(p.relative_to(tmp_path)): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    again = train_tiny(tmp_path / "run")
    assert again.result == first.result
    assert {str(p.relative_to(tmp_path)): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_another_configuration_is_not_continued_but_named(
    tmp_path: Path, tiny_dataset: Dataset, train_tiny: Callable[..., TrainOutcome]
) -> None:
    train_tiny(tmp_path / "run", max_epochs=1)
    with pytest.raises(UserError, match=r"another dropout, seed;.*--overwrite"):
        train_tiny(tmp_path / "run", max_epochs=1, seed=1, dropout=0.5)
    config = TrainConfig.preset("default", **{**TINY, "max_epochs": 1, "seed": 1})
    outcome = train_recommender(TrainJob(dataset=tiny_dataset.path, run=tmp_path / "run", overwrite=True), config)
    assert outcome.model.details["training"]["seed"] == 1


def test_a_run_is_not_continued_on_another_dataset(
    tmp_path: Path, tiny_tables: Path, encode_job: Callable[..., EncodeJob], train_tiny: Callable[..., TrainOutcome]
) -> None:
    train_tiny(tmp_path / "run", max_epochs=1)
    tables = tmp_path / "tables"
    shutil.copytree(tiny_tables, tables)
    lines = (tables / "interactions.csv").read_text(encoding="utf-8").splitlines()
    (tables / "interactions.csv").write_text("\n".join([*lines, "u0,i9,99"]) + "\n", encoding="utf-8")
    config = DelimitedImport(items=tables / "items.csv", interactions=tables / "interactions.csv", image_column="image")
    import_delimited(config, tmp_path / "other")
    encode_dataset(encode_job(tmp_path / "other"))
    training = TrainConfig.preset("default", **{**TINY, "max_epochs": 1})
    with pytest.raises(UserError, match="another dataset"):
        train_recommender(TrainJob(dataset=tmp_path / "other", run=tmp_path / "run"), training)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["config.yaml", "run.json", "thesis.tex"])
def test_a_folder_of_something_else_is_left_alone(
    tmp_path: Path, tiny_dataset: Dataset, name: str, overwrite: bool
) -> None:
    run = tmp_path / "precious"
    run.mkdir()
    (run / name).write_text('{"years": 4}', encoding="utf-8")
    job = TrainJob(dataset=tiny_dataset.path, run=run, overwrite=overwrite)
    with pytest.raises(UserError, match="something else than a run"):
        train_recommender(job, TrainConfig.preset("default", **TINY))
    assert {path.name: path.read_text() for path in run.iterdir()} == {name: '{"years": 4}'}


def test_a_file_is_no_run_folder(tmp_path: Path, tiny_dataset: Dataset) -> None:
    (tmp_path / "file").write_text("x")
    config = TrainConfig.preset("default", **TINY)
    for run, message in ((tmp_path / "file", "something else"), (tmp_path / "file" / "run", "cannot be written")):
        with pytest.raises(UserError, match=message):
            train_recommender(TrainJob(dataset=tiny_dataset.path, run=run), config)


HOLD = """
import sys
from pathlib import Path
from iisan.jobs.run_folder import run_folder
with run_folder(Path(sys.argv[1]), {"seed": 0}, {}, overwrite=False):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_two_processes_do_not_train_in_one_folder(tmp_path: Path, train_tiny: Callable[..., TrainOutcome]) -> None:
    run = tmp_path / "run"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    try:
        with pytest.raises(UserError, match="another process is training here"):
            train_tiny(run)
    finally:
        holder.kill()
        holder.communicate()
    # The dead one's lock is no lock: what stands in the way now is only its other configuration.
    with pytest.raises(UserError, match="was started with another"):
        train_tiny(run)


def test_an_unencoded_modality_names_the_command(copy: Path, tmp_path: Path) -> None:
    job = TrainJob(dataset=copy, run=tmp_path / "run")
    with pytest.raises(UserError, match=f"modality 'image' is not encoded; run `iisan encode {copy}`"):
        train_recommender(job, TrainConfig.preset("default", **TINY))
    with pytest.raises(UserError, match=r"no modality 'sound'; there are: (image, text|text, image)"):
        train_recommender(job, TrainConfig.preset("default", **TINY, modalities=["sound"]))
    with pytest.raises(UserError, match=r"no modality to learn from.*--method id"):
        train_recommender(job, TrainConfig.preset("default", **TINY, modalities=[]))
    assert not (tmp_path / "run").exists()


def test_a_store_that_is_not_finished_is_refused(
    copy: Path, tmp_path: Path, encode_job: Callable[..., EncodeJob]
) -> None:
    class KilledError(Exception):
        pass

    def kill(done: int, total: int, label: str) -> None:
        if label == "encode" and done:
            raise KilledError

    encode_dataset(encode_job(copy, modality="image"))
    with pytest.raises(KilledError):
        encode_dataset(encode_job(copy, modality="text", batch_size=4), kill)
    job = TrainJob(dataset=copy, run=tmp_path / "run")
    with pytest.raises(UserError, match=r"states of 0 items, but 22 items.*'text'.*iisan encode"):
        train_recommender(job, TrainConfig.preset("default", **TINY))
    encode_dataset(encode_job(copy))
    assert train_recommender(job, TrainConfig.preset("default", **{**TINY, "max_epochs": 1})).folder.is_dir()


def test_ids_need_no_states_and_offer_only_what_was_learned(copy: Path, tmp_path: Path) -> None:
    protocol = {"min_interactions": 9, "keep_last": 4}
    config = TrainConfig.preset("default", **TINY, **protocol, method="id")
    outcome = train_recommender(TrainJob(dataset=copy, run=tmp_path / "run"), config)
    assert outcome.model.details["encoders"] == {}
    counts = leave_one_out(Dataset.open(copy), min_interactions=9, keep_last=4).train_counts
    learned = {f"i{row}" for row in range(N_ITEMS) if counts[row]}
    assert len(learned) < N_ITEMS
    assert offered(outcome) == learned


def test_a_device_that_does_not_exist(tmp_path: Path, train_tiny: Callable[..., TrainOutcome]) -> None:
    for device in ("cuda:99", "meta", "abacus"):
        with pytest.raises(UserError, match=f"device '{device}' is not usable here"):
            train_tiny(tmp_path / "run", device=device)


def test_tensorboard_is_written_beside_the_run(tmp_path: Path, tiny_dataset: Dataset) -> None:
    pytest.importorskip("tensorboard", reason="the extra iisan[tensorboard] is not installed")
    told = []

    class Listener:
        def on_step(self, status: object) -> None:
            pass

        def on_epoch(self, record: dict[str, object]) -> None:
            told.append(record)

    job = TrainJob(dataset=tiny_dataset.path, run=tmp_path / "run", tensorboard=True)
    result = train_recommender(job, TrainConfig.preset("default", **TINY), Listener()).result
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert [one.step for one in events.Scalars("epoch/NDCG@10")] == [1, 2, 3]
    assert [one.value for one in events.Scalars("epoch/loss")] == pytest.approx([one["loss"] for one in result.history])
    assert len(events.Scalars("step/loss")) > 3
    assert told == result.history


def test_tensorboard_that_is_absent_stops_before_anything_is_made(
    tmp_path: Path, tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    job = TrainJob(dataset=tiny_dataset.path, run=tmp_path / "run", tensorboard=True)
    with pytest.raises(UserError, match=r"iisan\[tensorboard\]"):
        train_recommender(job, TrainConfig.preset("default", **TINY))
    assert list(tmp_path.iterdir()) == []


def test_the_floor_is_popularity(trained: TrainOutcome, tiny_dataset: Dataset) -> None:
    evaluated = evaluate_model(EvaluateJob(model=str(trained.folder), dataset=tiny_dataset.path, ks=[10]))
    split = leave_one_out(tiny_dataset)
    counts = torch.from_numpy(split.train_counts)
    ranks = []
    for user in range(split.n_users):
        *history, target = split.test_history(user).tolist()
        rest = [row for row in range(N_ITEMS) if row not in history]
        higher = sum(bool(counts[row] > counts[target]) for row in rest)
        ties = sum(bool(counts[row] == counts[target]) for row in rest) - 1
        ranks.append(1 + higher + ties / 2)
    assert evaluated.popularity.ranks["keep_target"].tolist() == ranks


def test_ranks_are_written_a_row_a_user(trained: TrainOutcome, tiny_dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "new" / "ranks.parquet"
    job = EvaluateJob(model=str(trained.folder), dataset=tiny_dataset.path, ranks=path, ks=[10])
    outcome = evaluate_model(job)
    rows = [row for row in pq.read_table(path).to_pylist() if row["split"] == "leave_one_out"]
    assert [row["user_id"] for row in rows] == [f"u{user}" for user in range(N_USERS)]
    split = leave_one_out(tiny_dataset)
    assert [row["target"] for row in rows] == [tiny_dataset.item_ids[row] for row in split.targets("test")]
    hits = sum(row["rank_paper"] <= 10 for row in rows) / len(rows)
    assert hits == pytest.approx(outcome.model.metrics["paper"]["HR@10"])
    assert {path.name for path in path.parent.iterdir()} == {"ranks.parquet"}


def test_ranks_that_cannot_be_written(trained: TrainOutcome, tiny_dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    job = EvaluateJob(model=str(trained.folder), dataset=tiny_dataset.path, ranks=tmp_path / "taken", ks=[10])
    with pytest.raises(UserError, match="cannot be written"):
        evaluate_model(job)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_evaluation_goes_by_the_training_protocol_unless_told(
    tmp_path: Path, tiny_dataset: Dataset, train_tiny: Callable[..., TrainOutcome]
) -> None:
    train_tiny(tmp_path / "run", min_interactions=7, keep_last=5, catalogue="interacted", max_epochs=1)
    as_trained = evaluate_model(EvaluateJob(model=str(tmp_path / "run"), dataset=tiny_dataset.path))
    expected = leave_one_out(tiny_dataset, min_interactions=7, keep_last=5, catalogue="interacted")
    assert (as_trained.model.n_users, as_trained.model.n_candidates) == (expected.n_users, expected.n_candidates)
    assert as_trained.split.test.starts.tolist() == expected.test.starts.tolist()
    job = EvaluateJob(model=str(tmp_path / "run"), dataset=tiny_dataset.path, min_interactions=5, catalogue="all")
    assert evaluate_model(job).model.n_users == N_USERS


def test_evaluation_on_another_dataset_is_refused(trained: TrainOutcome, tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item_id,title\nx,one\ny,two\nz,three\ni0,four\n", encoding="utf-8")
    log = "".join(f"u,{item},{step}\n" for step, item in enumerate("xyzxyz"))
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp\n" + log, encoding="utf-8")
    import_delimited(
        DelimitedImport(items=tmp_path / "items.csv", interactions=tmp_path / "log.csv"), tmp_path / "other"
    )
    with pytest.raises(UserError, match="does not know 3 of the 4 items"):
        evaluate_model(EvaluateJob(model=str(trained.folder), dataset=tmp_path / "other"))


def test_a_model_folder_and_its_run_folder_are_the_same(trained: TrainOutcome, tiny_dataset: Dataset) -> None:
    one, other = (
        evaluate_model(EvaluateJob(model=str(folder), dataset=tiny_dataset.path)).model.metrics
        for folder in (trained.folder, trained.folder.parent)
    )
    assert one == other


def test_saving_over_an_older_model_replaces_it_whole(tmp_path: Path, trained: TrainOutcome) -> None:
    from iisan.jobs.save_model import save_whole

    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "stale.txt").write_text("old")
    save_whole(trained.model, folder)
    assert {path.name for path in folder.iterdir()} == {path.name for path in trained.folder.iterdir()}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert Recommender.from_pretrained(folder).recommend([["i0"]]) == trained.model.recommend([["i0"]])


def test_a_model_that_cannot_be_written_leaves_the_older_one(
    tmp_path: Path, trained: TrainOutcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    from iisan.jobs.save_model import save_whole

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    folder = tmp_path / "model"
    save_whole(trained.model, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr("iisan.models.item_table.save_tensors", full)
    with pytest.raises(UserError, match=r"cannot be written.*No space left"):
        save_whole(trained.model, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
