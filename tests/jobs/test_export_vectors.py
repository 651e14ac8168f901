"""Vectors in Parquet: what a database that ranks them by inner product finds is what the model recommends."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pydantic import ValidationError

from iisan.data.importers.delimited import DelimitedImport, import_delimited
from iisan.errors import UserError
from iisan.jobs.export import vectors as job_module
from iisan.jobs.export.vectors import ExportVectorsJob, VectorsExport, export_vectors
from iisan.models.added_facts import AddedFacts
from iisan.models.added_items import AddedItems
from iisan.models.additions import Additions
from iisan.models.recommender import Recommender
from tests.exported_models import DIM, N, recommender

HISTORIES = {
    "ann": ["i0", "i1", "i2"],
    "bob": ["i7"],
    "eve": ["i5", "ghost", "i3"],
    "old": [f"i{row % N}" for row in range(11)],
    "new": ["a1", "i4"],
}
Values = npt.NDArray[Any]


@pytest.fixture(params=["symmetric", "unequal"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A model folder with items that were added, replaced and taken back."""
    folder = tmp_path / "model"
    recommender(request.param).save_pretrained(folder)
    generator = torch.Generator().manual_seed(2)
    journal = Additions(folder)
    vectors = torch.nn.functional.normalize(torch.randn(3, DIM, generator=generator), dim=1)
    facts = {0: AddedFacts(attributes={"colour": "green", "size": "L"})}
    journal.append(AddedItems.new(["a1", "a2", "i8"], ["first", None, "replaced"], vectors, {}, facts))
    journal.remove(["i9"], DIM)
    return folder


@pytest.fixture
def histories(tmp_path: Path) -> Path:
    path = tmp_path / "histories.jsonl"
    lines = [json.dumps({"user_id": user, "history": items}) for user, items in HISTORIES.items()]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def vectors_of(table: pa.Table) -> Values:
    return np.array(table["embedding"].to_pylist(), dtype=np.float32)


def found_in_database(export: VectorsExport, k: int, *, exclude_seen: bool) -> dict[str, list[str]]:
    """A search by brute force over the two files, as a vector database would do it."""
    assert export.users is not None
    items, users = pq.read_table(export.items), pq.read_table(export.users)
    ids = np.array(items["item_id"].to_pylist())
    scores = vectors_of(users) @ vectors_of(items).T
    scores[:, ~items["recommendable"].to_numpy()] = -np.inf
    lists = {}
    for user, history, line in zip(users["user_id"].to_pylist(), users["history"].to_pylist(), scores, strict=True):
        if exclude_seen:
            line[np.isin(ids, history)] = -np.inf
        order = np.argsort(-line, kind="stable")[:k]
        lists[user] = [str(item) for item in ids[order[np.isfinite(line[order])]]]
    return lists


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("rows_at_once", [4, 1000])
def test_the_best_by_inner_product_are_those_recommended(
    model: Path, histories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exclude_seen: bool, rows_at_once: int
) -> None:
    monkeypatch.setattr(job_module, "ROWS_AT_ONCE", rows_at_once)
    monkeypatch.setattr(job_module, "HISTORIES_AT_ONCE", 2)
    export = export_vectors(ExportVectorsJob(model=str(model), output=tmp_path / "v.parquet", histories=histories))
    loaded = Recommender.from_pretrained(model)
    for k in (3, N + 2):
        wanted = {}
        for user, items in HISTORIES.items():
            known = [item for item in items if item != "ghost"]
            recommended = loaded.recommend([known], k=k, exclude_seen=exclude_seen)[0]
            wanted[user] = [one.item_id for one in recommended]
        assert found_in_database(export, k, exclude_seen=exclude_seen) == wanted
    assert export.problems == ["history eve: item 'ghost' is not in the model's catalogue, passed over"]
    assert (export.n_items, export.n_users) == (N + 2, len(HISTORIES))
    assert pq.ParquetFile(export.items).num_row_groups == -(-export.n_items // rows_at_once)


def test_the_items_are_those_of_the_table(model: Path, tmp_path: Path) -> None:
    export = export_vectors(ExportVectorsJob(model=str(model), output=tmp_path / "new" / "v.parquet"))
    table, loaded = pq.read_table(export.items), Recommender.from_pretrained(model).table
    assert (export.users, export.n_users) == (None, 0)
    assert table["item_id"].to_pylist() == loaded.item_ids
    assert table["title"].to_pylist() == loaded.titles
    assert table["recommendable"].to_pylist() == loaded.recommendable.tolist()
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), DIM)
    np.testing.assert_array_equal(vectors_of(table), loaded.embeddings.numpy())
    metadata = table.schema.metadata
    assert metadata[b"iisan.weights_sha256"].decode() == Additions(model).fingerprint()
    assert list(tmp_path.joinpath("new").iterdir()) == [export.items]


def test_only_what_may_be_offered(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "ROWS_AT_ONCE", 1)
    job = ExportVectorsJob(model=str(model), output=tmp_path / "v.parquet", items="recommendable")
    export = export_vectors(job)
    ids = pq.read_table(export.items)["item_id"].to_pylist()
    assert set(Recommender.from_pretrained(model).table.item_ids) - set(ids) == {"i5", "i9"}
    assert export.n_items == len(ids) == N


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """The model's items in another order, one of them missing, and one that the model does not know."""
    rows = [row for row in reversed(range(N)) if row != 6]
    lines = ["item_id,title,colour,embedding", *(f"i{row},t,c{row % 3},e{row}" for row in rows), "stranger,t,c,e"]
    (tmp_path / "items.csv").write_text("\n".join(lines), encoding="utf-8")
    log = ["user_id,item_id,timestamp", *(f"u,i{row},{row}" for row in rows)]
    (tmp_path / "log.csv").write_text("\n".join(log), encoding="utf-8")
    config = DelimitedImport(
        items=tmp_path / "items.csv", interactions=tmp_path / "log.csv", attributes=("colour", "embedding")
    )
    import_delimited(config, tmp_path / "shop")
    return tmp_path / "shop"


@pytest.mark.parametrize("rows_at_once", [3, 1000])
def test_attributes_of_the_dataset_and_of_added_items(
    model: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    monkeypatch.setattr(job_module, "ROWS_AT_ONCE", rows_at_once)
    job = ExportVectorsJob(
        model=str(model), output=tmp_path / "v.parquet", dataset=dataset, attributes=["colour", "size"]
    )
    table = pq.read_table(export_vectors(job).items)
    assert table.column_names == ["item_id", "title", "recommendable", "colour", "size", "embedding"]
    # What was replaced or taken back is no longer what the dataset says.
    colours = {f"i{row}": None if row in {6, 8, 9} else f"c{row % 3}" for row in range(N)}
    wanted = {**colours, "a1": "green", "a2": None}
    assert dict(zip(table["item_id"].to_pylist(), table["colour"].to_pylist(), strict=True)) == wanted
    assert [value for value in table["size"].to_pylist() if value is not None] == ["L"]


def test_a_name_that_is_taken_and_one_that_is_not_there(model: Path, dataset: Path, tmp_path: Path) -> None:
    job = ExportVectorsJob(model=str(model), output=tmp_path / "v.parquet", dataset=dataset)
    with pytest.raises(UserError, match="'embedding' is named like a column"):
        export_vectors(job)
    with pytest.raises(UserError, match=r"no attribute 'weight'.*there are: colour, embedding, size"):
        export_vectors(job.model_copy(update={"attributes": ["weight"]}))
    assert not (tmp_path / "v.parquet").exists()


def test_what_is_there_stays(model: Path, histories: Path, tmp_path: Path) -> None:
    (tmp_path / "v-users.parquet").write_bytes(b"mine")
    job = ExportVectorsJob(model=str(model), output=tmp_path / "v.parquet", histories=histories)
    with pytest.raises(UserError, match=r"v-users\.parquet: the file exists already"):
        export_vectors(job)
    assert not (tmp_path / "v.parquet").exists()
    export_vectors(job.model_copy(update={"overwrite": True}))
    with pytest.raises(UserError, match=r"v\.parquet: the file exists already"):
        export_vectors(job.model_copy(update={"histories": None}))
    before = sorted(tmp_path.rglob("*"))
    for changes, message in [
        ({"output": tmp_path}, "this is a folder"),
        ({"output": model / "v.parquet"}, "folder of the model itself"),
        ({"users": model / "users.parquet"}, "folder of the model itself"),
        ({"histories": tmp_path / "absent.jsonl"}, "no such file"),
        ({"dataset": tmp_path / "absent"}, "absent"),
        ({"output": tmp_path / "v.parquet" / "below"}, "cannot be written"),
        ({"model": str(tmp_path / "none")}, "neither a folder nor a model"),
    ]:
        with pytest.raises(UserError, match=message):
            export_vectors(job.model_copy(update={"overwrite": True, **changes}))
    assert sorted(tmp_path.rglob("*")) == before


def test_histories_without_any_known_item(model: Path, tmp_path: Path) -> None:
    (tmp_path / "h.txt").write_text("ann\tghost\n", encoding="utf-8")
    job = ExportVectorsJob(model=str(model), output=tmp_path / "v.parquet", histories=tmp_path / "h.txt")
    with pytest.raises(UserError, match="'ghost' is not in the model's catalogue"):
        export_vectors(job)
    assert not (tmp_path / "v.parquet").exists()


def test_a_file_each_and_histories_for_users() -> None:
    with pytest.raises(ValidationError, match="needs histories"):
        ExportVectorsJob(model="m", output=Path("v"), users=Path("u"))
    with pytest.raises(ValidationError, match="a file each"):
        ExportVectorsJob(model="m", output=Path("v"), users=Path("v"), histories=Path("h"))


def _die_at(label: str) -> Callable[[int, int | None, str], None]:
    def die(done: int, total: int | None, now: str) -> None:
        if now == label:
            os.kill(os.getpid(), signal.SIGKILL)

    return die


@pytest.mark.parametrize("label", ["items", "users"])
def test_a_kill_leaves_the_old_files(model: Path, histories: Path, tmp_path: Path, label: str) -> None:
    folder = tmp_path / "out"
    job = ExportVectorsJob(model=str(model), output=folder / "v.parquet", histories=histories, device="cpu")
    export_vectors(job)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    shutil.copytree(model, tmp_path / "other")
    Additions(tmp_path / "other").remove(["i0"], DIM)
    again = job.model_copy(update={"model": str(tmp_path / "other"), "overwrite": True})
    process = get_context("fork").Process(target=export_vectors, args=(again, _die_at(label)))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert {name: (folder / name).read_bytes() for name in before} == before
    export_vectors(again)
    assert {path.name for path in folder.iterdir()} == set(before)
    assert (folder / "v.parquet").read_bytes() != before["v.parquet"]
