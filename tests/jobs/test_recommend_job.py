"""Whom to recommend for: histories from the command, from files and from a dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from iisan.data.dataset import Dataset
from iisan.errors import UserError
from iisan.jobs.histories import History, read_histories
from iisan.jobs.recommend import RecommendJob, recommend
from iisan.jobs.train import TrainOutcome
from iisan.models.recommender import Recommendation
from tests.conftest import N_USERS

HISTORIES = [("ann", ["i0", "i1", "i2"]), ("bob", ["i7"]), ("12", ["i20", "i3"])]


def assert_alike(items: list[Recommendation], wanted: list[Recommendation]) -> None:
    """The same items and, but for the arithmetic of another batch, the same scores."""
    assert [item.item_id for item in items] == [item.item_id for item in wanted]
    assert [item.score for item in items] == pytest.approx([item.score for item in wanted], rel=1e-5)


def written(folder: Path, kind: str) -> Path:
    path = folder / f"histories.{kind}"
    if kind == "jsonl":
        lines = [json.dumps({"user_id": user, "history": items}) for user, items in HISTORIES]
        path.write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    elif kind == "parquet":
        columns = {"user_id": [user for user, _ in HISTORIES], "history": [items for _, items in HISTORIES]}
        pq.write_table(pa.table(columns), path)
    else:
        lines = [f"{user}\t{' '.join(items)}" for user, items in HISTORIES]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "tsv"])
def test_every_form_of_file_gives_the_same_answers(tmp_path: Path, trained: TrainOutcome, kind: str) -> None:
    path = written(tmp_path, kind)
    assert read_histories(path) == [History(user, items) for user, items in HISTORIES]
    outcome = recommend(RecommendJob(model=str(trained.folder), file=path, k=4))
    assert outcome.problems == []
    assert [answer.user_id for answer in outcome.answers] == ["ann", "bob", "12"]
    expected = trained.model.recommend([items for _, items in HISTORIES], k=4)
    assert [answer.items for answer in outcome.answers] == expected


def test_histories_of_the_command_line(trained: TrainOutcome) -> None:
    job = RecommendJob(model=str(trained.folder), history=["i0 i1  i2", "i7", "i20,i3"], k=4)
    answers = recommend(job).answers
    assert [answer.user_id for answer in answers] == ["1", "2", "3"]
    assert [answer.items for answer in answers] == trained.model.recommend([items for _, items in HISTORIES], k=4)


def test_all_users_of_a_dataset(trained: TrainOutcome, tiny_dataset: Dataset) -> None:
    outcome = recommend(RecommendJob(model=str(trained.folder), dataset=tiny_dataset.path, k=3))
    assert [answer.user_id for answer in outcome.answers] == [f"u{user}" for user in range(N_USERS)]
    whole = [f"i{(7 * 9 + step) % 24}" for step in range(5 + 9 % 5)]
    assert_alike(outcome.answers[9].items, trained.model.recommend([whole], k=3)[0])
    assert not {item.item_id for item in outcome.answers[9].items} & set(whole)


def test_seen_items_come_back_when_asked_for(trained: TrainOutcome) -> None:
    job = RecommendJob(model=str(trained.folder), history=["i0 i1"], k=30, seen="include")
    assert {"i0", "i1"} <= {item.item_id for item in recommend(job).answers[0].items}


def test_unknown_ids_get_a_line_each_and_the_rest_is_served(trained: TrainOutcome) -> None:
    job = RecommendJob(model=str(trained.folder), history=["i0 ghost i1 wraith", "spirit", "i7"])
    outcome = recommend(job)
    assert outcome.problems == [
        "history 1: item 'ghost' is not in the model's catalogue, passed over",
        "history 1: item 'wraith' is not in the model's catalogue, passed over",
        "history 2: item 'spirit' is not in the model's catalogue, passed over",
        "history 2: no known item, left out",
    ]
    assert [answer.user_id for answer in outcome.answers] == ["1", "3"]
    assert_alike(outcome.answers[0].items, trained.model.recommend([["i0", "i1"]])[0])


def test_nothing_to_serve_is_one_error(trained: TrainOutcome, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'ghost' is not in the model's catalogue"):
        recommend(RecommendJob(model=str(trained.folder), history=["ghost"]))
    (tmp_path / "empty.jsonl").write_text("\n", encoding="utf-8")
    with pytest.raises(UserError, match="there is no history"):
        recommend(RecommendJob(model=str(trained.folder), file=tmp_path / "empty.jsonl"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("h.jsonl", '{"user_id": "a", "history": ["i0"]}\n{"user_id": "a"', r"h\.jsonl, line 2: not a history"),
        ("h.jsonl", '{"user_id": "a", "history": "i0"}', "line 1: not a history.*list"),
        ("h.jsonl", '{"user_id": "a", "history": [["i0"]]}', "line 1: not a history"),
        ("h.jsonl", '{"user_id": null, "history": ["i0"]}', "line 1: not a history"),
        ("h.jsonl", '["i0"]', "line 1: not a history"),
        ("h.txt", "ann i0 i1", "line 1: no tab"),
        ("h.parquet", "not parquet", "not a file of histories"),
        ("h.txt", b"ann\t\xff\xfe", "not a file of histories"),
    ],
)
def test_a_bad_file_is_one_error(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message):
        read_histories(path)


@pytest.mark.parametrize(
    "columns",
    [
        {"user": ["a"], "history": [["i0"]]},
        {"user_id": ["a"], "history": ["i0"]},
        {"user_id": ["a", "b"], "history": [["i0"], None]},
        {"user_id": ["a"], "history": [["i0", None]]},
    ],
)
def test_a_parquet_file_of_something_else_is_one_error(tmp_path: Path, columns: dict[str, list[Any]]) -> None:
    pq.write_table(pa.table(columns), tmp_path / "h.parquet")
    with pytest.raises(UserError, match=r"h\.parquet.*not a (file of histories|history)"):
        read_histories(tmp_path / "h.parquet")


def test_a_file_that_is_absent_or_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.jsonl", tmp_path):
        with pytest.raises(UserError, match="no such file"):
            read_histories(path)


def test_numbers_may_be_ids(tmp_path: Path) -> None:
    (tmp_path / "h.jsonl").write_text('{"user_id": 7, "history": [1, 2]}\n', encoding="utf-8")
    assert read_histories(tmp_path / "h.jsonl") == [History("7", ["1", "2"])]


@pytest.mark.parametrize(
    "options",
    [{}, {"history": ["i0"], "dataset": "d"}, {"file": "f", "dataset": "d"}, {"history": ["i0"], "format": "parquet"}],
)
def test_one_source_of_histories_and_a_file_for_parquet(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"give exactly one of|parquet needs an output"):
        RecommendJob(model="m", **options)


def test_a_model_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not a model folder: config\.json is missing"):
        recommend(RecommendJob(model=str(tmp_path), history=["i0"]))
    with pytest.raises(UserError, match="neither a folder nor a model"):
        recommend(RecommendJob(model=str(tmp_path / "absent"), history=["i0"]))
