"""Items added to a trained model: recommended at once, embedded as if they had been there, whole or not at all."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import tarfile
import textwrap
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from iisan.data.dataset import Dataset
from iisan.data.importers.delimited import DelimitedImport, import_delimited
from iisan.errors import UserError
from iisan.jobs.add_items import AddItemsJob, AddItemsOutcome, add_items
from iisan.jobs.encode import EncodeJob, encode_dataset
from iisan.jobs.evaluate import EvaluateJob, evaluate_model
from iisan.jobs.import_states import ImportStatesJob, import_dataset_states
from iisan.jobs.new_items import NewItems
from iisan.jobs.recommend import RecommendJob, recommend
from iisan.jobs.save_model import save_whole
from iisan.jobs.shown_pictures import ShownPictures
from iisan.jobs.train import TrainJob, TrainOutcome, train_recommender
from iisan.models.additions import Additions
from iisan.models.picture_store import PictureStore
from iisan.models.recommender import Recommender
from iisan.states.cached_source import CachedSource
from iisan.states.store import HiddenStateStore
from iisan.training.config import TrainConfig
from tests.conftest import N_ITEMS, NO_CONTENT, TINY, TinyModels
from tests.tiny_encoders import bert, pictures, texts

N_NEW = 7


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write_table(folder: Path, rows: list[tuple[str, str, str]], name: str = "new.csv") -> Path:
    folder.mkdir(exist_ok=True)
    with (folder / name).open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("item_id", "title", "image"), *rows])
    return folder / name


@pytest.fixture
def model(trained: TrainOutcome, tmp_path: Path) -> Path:
    """A copy of the finished model."""
    return shutil.copytree(trained.folder, tmp_path / "model")


@pytest.fixture
def new_table(tmp_path: Path) -> Path:
    """Seven new items: all with text, all but the second and fourth with a picture."""
    shown = pictures(tmp_path / "new" / "pictures", N_NEW, seed=9)
    titles = texts(N_NEW, seed=9)
    rows = [
        (f"n{k}", titles[k], "" if k in (1, 3) else str(shown[k].relative_to(tmp_path / "new"))) for k in range(N_NEW)
    ]
    return write_table(tmp_path / "new", rows)


@pytest.fixture
def add(model: Path, new_table: Path, tiny_models: TinyModels) -> Callable[..., AddItemsOutcome]:
    def run(items: Path | None = None, **options: Any) -> AddItemsOutcome:
        given: dict[str, Any] = {
            "model": model,
            "items": items or new_table,
            "encoder": (f"text={tiny_models.text}", f"image={tiny_models.image}"),
            "device": "cpu",
        }
        return add_items(AddItemsJob(**{**given, **options}))

    return run


def counts(outcome: AddItemsOutcome) -> dict[str, int]:
    names = ("added", "replaced", "unchanged", "skipped", "empty")
    return {name: getattr(outcome, name) for name in names if getattr(outcome, name)}


def test_new_items_are_recommended_at_once_and_may_stand_in_histories(
    add: Callable[..., AddItemsOutcome], model: Path, trained: TrainOutcome
) -> None:
    outcome = add()
    assert counts(outcome) == {"added": N_NEW}
    assert (outcome.folder, outcome.n_items) == (model, N_ITEMS + N_NEW)
    listed = recommend(RecommendJob(model=str(model), history=["i0 i1"], k=100)).answers[0].items
    assert {item.item_id for item in listed} >= {f"n{k}" for k in range(N_NEW)}
    assert {item.item_id: item.title for item in listed}["n0"] == texts(N_NEW, seed=9)[0]
    after = recommend(RecommendJob(model=str(model), history=["i0 n3"], k=100)).answers[0].items
    assert [item.score for item in after] != [item.score for item in listed]
    assert "n3" not in {item.item_id for item in after}
    table = Recommender.from_pretrained(model).table
    assert table.item_ids[:N_ITEMS] == trained.model.table.item_ids
    assert torch.equal(table.embeddings[:N_ITEMS], trained.model.table.embeddings)
    assert table.item_ids[N_ITEMS:] == [f"n{k}" for k in range(N_NEW)]


def test_pictures_for_people_are_kept_and_go_when_their_items_are_replaced(
    add: Callable[..., AddItemsOutcome], model: Path, new_table: Path, tmp_path: Path
) -> None:
    add()
    table, store = Recommender.from_pretrained(model).table, PictureStore(model)
    shown = {}
    for k in range(N_NEW):
        row = table.row(f"n{k}")
        assert row is not None
        shown[k] = store.find(table.facts[row].picture)
    assert {k for k, path in shown.items() if path is None} == {1, 3}
    with new_table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))[1:]
    for k, (_, _, image) in enumerate(rows):
        path = shown[k]
        if path is not None:
            with Image.open(path) as small, Image.open(new_table.parent / image) as large:
                assert (small.format, small.size) == ("JPEG", large.size)
            assert path.stem == sha256((new_table.parent / image).read_bytes()).hexdigest()
    # Leftovers of a kill, and a picture whose item lost it, go with the next addition.
    store.keep("0" * 64, b"of nobody")
    (store.folder / f".{'1' * 64}.jpg.tmp").write_bytes(b"half")
    add(write_table(tmp_path / "later", [("n0", "now without a picture", "")]), on_existing="replace")
    add(write_table(tmp_path / "later", [("n9", "one more", "")]))
    assert {path.stem for path in store.folder.iterdir()} == {
        path.stem for k, path in shown.items() if path is not None and k != 0
    }


def test_a_picture_that_cannot_be_shown_is_left_out_with_a_warning(
    model: Path, new_table: Path, caplog: pytest.LogCaptureFixture
) -> None:
    new = NewItems(["a", "b"], [None, None], {"image": ["0" * 64, None]}, {"image": [new_table, None]})
    assert ShownPictures(PictureStore(model), new).keep([0, 1]) == {}
    assert "the picture of item 'a' will not be shown" in caplog.text


def as_if_there(
    tmp_path: Path, tiny_tables: Path, new_table: Path, encode_job: Callable[..., EncodeJob], dtype: str, **options: Any
) -> tuple[TrainOutcome, Dataset]:
    """A model trained on the tiny catalogue, and the dataset of the tiny catalogue with the new items, both encoded."""
    tables = shutil.copytree(tiny_tables, tmp_path / "grown")
    shutil.copytree(new_table.parent / "pictures", tables / "pictures", dirs_exist_ok=True)
    with (tables / "items.csv").open("a", encoding="utf-8") as stream:
        stream.writelines(new_table.read_text(encoding="utf-8").splitlines(keepends=True)[1:])
    datasets = []
    for name, items in (("old", tiny_tables / "items.csv"), ("both", tables / "items.csv")):
        config = DelimitedImport(
            items=items, interactions=tables / "interactions.csv", image_column="image", text="{title}!"
        )
        datasets.append(import_delimited(config, tmp_path / name))
        encode_dataset(encode_job(tmp_path / name, store_dtype=dtype))
    config = TrainConfig.preset("default", **{**TINY, **options})
    return train_recommender(TrainJob(dataset=tmp_path / "old", run=tmp_path / "run"), config), datasets[1]


@pytest.mark.parametrize(
    ("dtype", "options", "tolerance"),
    [
        # Whitened by the covariance of 24 items, rounding errors are a hundred times as large.
        ("float32", {"whiten": "yes"}, 1e-4),
        ("float16", {"whiten": "no"}, 1e-5),
        ("float16", {"method": "frozen", "whiten": "no"}, 1e-5),
        ("bfloat16", {"modalities": ["image"], "whiten": "no"}, 1e-5),
    ],
    ids=["whitened", "float16", "frozen", "bfloat16"],
)
def test_an_added_item_is_embedded_as_if_it_had_been_in_the_catalogue(
    tmp_path: Path,
    tiny_tables: Path,
    new_table: Path,
    encode_job: Callable[..., EncodeJob],
    tiny_models: TinyModels,
    dtype: str,
    options: dict[str, Any],
    tolerance: float,
) -> None:
    outcome, grown = as_if_there(tmp_path, tiny_tables, new_table, encode_job, dtype, **options)
    names = outcome.model.details["encoders"]
    stores = {name: HiddenStateStore.open(grown.path / "states" / name) for name in names}
    expected = outcome.model.embed_items(CachedSource(stores, grown.item_ids))
    models = tuple(f"{name}={getattr(tiny_models, name)}" for name in names)
    added = add_items(
        AddItemsJob(
            model=tmp_path / "run", items=new_table, encoder=models, device="cpu", on_empty="skip", batch_size=64
        )
    )
    table = Recommender.from_pretrained(tmp_path / "run" / "model").table
    assert added.added == len(table) - N_ITEMS == N_NEW - (2 if list(names) == ["image"] else 0)
    rows = [grown.item_ids.index(item_id) for item_id in table.item_ids]
    torch.testing.assert_close(table.embeddings, expected[rows], atol=tolerance, rtol=0)
    # Through stores that hold the states already, without an encoder.
    stored = add_items(
        AddItemsJob(
            model=tmp_path / "run", items=new_table, states=grown.path / "states", device="cpu", on_empty="skip"
        )
    )
    assert counts(stored) == {name: n for name, n in counts(added).items() if name == "empty"} | {
        "unchanged": added.added
    }


@pytest.fixture
def new_stores(tmp_path: Path, tiny_tables: Path, new_table: Path, encode_job: Callable[..., EncodeJob]) -> Path:
    """Stores of the seven new items' states, made of just what their table holds."""
    header = (tiny_tables / "interactions.csv").read_text(encoding="utf-8").splitlines()[0]
    interactions = tmp_path / "interactions.csv"
    interactions.write_text(f"{header}\nu0,n0,1\nu0,n1,2\n", encoding="utf-8")
    config = DelimitedImport(items=new_table, interactions=interactions, image_column="image")
    import_delimited(config, tmp_path / "encoded")
    encode_dataset(encode_job(tmp_path / "encoded", store_dtype="float32"))
    return tmp_path / "encoded" / "states"


def rows_of(new_table: Path) -> list[list[str]]:
    return list(csv.reader(new_table.open(encoding="utf-8")))[1:]


def altered(new_table: Path, change: dict[str, dict[int, str]], name: str = "altered.csv") -> Path:
    """The table of new items with other values: by item id and column."""
    rows = [tuple(change.get(row[0], {}).get(at, value) for at, value in enumerate(row)) for row in rows_of(new_table)]
    return write_table(new_table.parent, rows, name)  # type: ignore[arg-type]


@pytest.mark.parametrize(("column", "modality"), [(1, "text"), (2, "image")], ids=["another text", "another picture"])
def test_states_of_other_content_than_that_of_the_table_are_refused(
    add: Callable[..., AddItemsOutcome], model: Path, new_table: Path, new_stores: Path, column: int, modality: str
) -> None:
    picture = rows_of(new_table)[6][2]
    changed = altered(new_table, {one: {column: ("otherwise", picture)[column - 1]} for one in ("n0", "n2")})
    before = files(model)
    with pytest.raises(UserError) as error:
        add(changed, states=new_stores)
    assert f"states/{modality}: the states of 2 items were made of another {modality} than the table's" in str(
        error.value
    )
    assert "such as 'n0', 'n2'; encode" in str(error.value)
    assert "leave --states out" in str(error.value)
    assert "\n" not in str(error.value)
    assert files(model) == before
    assert counts(add(states=new_stores)) == {"added": N_NEW}


def test_states_of_content_that_the_table_does_not_have_are_not_used(
    add: Callable[..., AddItemsOutcome],
    model: Path,
    tmp_path: Path,
    new_table: Path,
    new_stores: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A blank cell, and then no column at all, against the same items encoded anew."""
    blank = altered(new_table, {"n0": {2: ""}, "n2": {1: ""}})
    expected = shutil.copytree(model, tmp_path / "expected")
    add(blank, model=expected)
    assert counts(add(blank, states=new_stores)) == {"added": N_NEW}
    tables = [Recommender.from_pretrained(folder).table for folder in (model, expected)]
    torch.testing.assert_close(tables[0].embeddings, tables[1].embeddings, atol=1e-5, rtol=0)
    assert tables[0].hashes == tables[1].hashes
    (tmp_path / "new" / "titles.csv").write_text(
        "".join(f"{item_id},{title}\n" for item_id, title, _ in [("item_id", "title", ""), *rows_of(new_table)]),
        "utf-8",
    )
    options = {"items": tmp_path / "new" / "titles.csv", "on_existing": "replace"}
    add(**options, model=expected)
    caplog.clear()
    # Nothing needs the store of pictures, so it need not be there.
    shutil.rmtree(new_stores / "image")
    assert counts(add(**options, states=new_stores)) == {"replaced": N_NEW - 3, "unchanged": 3}
    assert "has no column image: its items have no image" in caplog.text
    tables = [Recommender.from_pretrained(folder).table for folder in (model, expected)]
    torch.testing.assert_close(tables[0].embeddings, tables[1].embeddings, atol=1e-5, rtol=0)
    assert tables[0].hashes == tables[1].hashes
    with pytest.raises(UserError, match=r"states/image: no hidden-state store here"):
        add(states=new_stores, on_existing="replace")


@pytest.mark.parametrize("on_empty", ["error", "skip"])
def test_content_that_the_stores_lack_is_not_taken_for_no_content(
    add: Callable[..., AddItemsOutcome], model: Path, new_table: Path, new_stores: Path, on_empty: str
) -> None:
    more = write_table(new_table.parent, [*map(tuple, rows_of(new_table)), ("n9", "a red kettle", "")], "more.csv")  # type: ignore[list-item]
    before = files(model)
    with pytest.raises(UserError) as error:
        add(more, states=new_stores, on_empty=on_empty)
    assert "states/text: the store holds no states of the text of 1 items, such as 'n9'; encode" in str(error.value)
    assert "leave --states out" in str(error.value)
    assert files(model) == before


def test_the_grown_catalogue_is_evaluated_and_recommended_for(
    tmp_path: Path,
    tiny_tables: Path,
    new_table: Path,
    encode_job: Callable[..., EncodeJob],
    add: Callable[..., AddItemsOutcome],
    model: Path,
) -> None:
    tables = shutil.copytree(tiny_tables, tmp_path / "grown")
    with (tables / "items.csv").open("a", encoding="utf-8") as stream:
        stream.writelines(f"n{k},,\n" for k in range(N_NEW))
    with (tables / "interactions.csv").open("a", encoding="utf-8") as stream:
        stream.writelines(f"u{user},n{user % N_NEW},99\n" for user in range(0, 40, 2))
    config = DelimitedImport(items=tables / "items.csv", interactions=tables / "interactions.csv", image_column="image")
    grown = import_delimited(config, tmp_path / "dataset")
    job = EvaluateJob(model=str(model), dataset=grown.path, ks=[5], splits="leave_one_out")
    with pytest.raises(UserError, match="does not know 7 of the 31 items"):
        evaluate_model(job)
    add()
    found = next(iter(evaluate_model(job).splits.values())).model
    assert found.n_candidates == N_ITEMS + N_NEW
    answers = recommend(RecommendJob(model=str(model), dataset=grown.path, k=40))
    assert answers.problems == []
    assert len(answers.answers[0].items) == N_ITEMS - len(NO_CONTENT) + N_NEW - 5 - 1


def test_a_second_run_finds_everything_unchanged_and_writes_nothing(
    add: Callable[..., AddItemsOutcome], model: Path, tiny_tables: Path
) -> None:
    add()
    before = files(model)
    assert counts(add()) == {"unchanged": N_NEW}
    # The trained items are known by their content as well, also the one that has none.
    assert counts(add(tiny_tables / "items.csv")) == {"unchanged": N_ITEMS}
    assert files(model) == before


def changed_table(tmp_path: Path, tiny_tables: Path) -> Path:
    """A trained item with another text, one as it was, and a new one."""
    rows = list(csv.reader((tiny_tables / "items.csv").open(encoding="utf-8")))[1:]
    first, second = rows[0], rows[1]
    shutil.copytree(tiny_tables / "pictures", tmp_path / "changed" / "pictures")
    return write_table(
        tmp_path / "changed",
        [(first[0], "another steel whale", first[2]), (second[0], second[1], second[2]), ("n0", "a new lamp", "")],
    )


def test_known_with_other_content_is_an_error_by_default(
    add: Callable[..., AddItemsOutcome], model: Path, tmp_path: Path, tiny_tables: Path
) -> None:
    before = files(model)
    with pytest.raises(UserError, match=r"changed/new\.csv: 1 items are in the model already with other content.*'i0'"):
        add(changed_table(tmp_path, tiny_tables))
    assert files(model) == before


def test_known_with_other_content_is_skipped_when_asked(
    add: Callable[..., AddItemsOutcome], model: Path, tmp_path: Path, tiny_tables: Path, trained: TrainOutcome
) -> None:
    outcome = add(changed_table(tmp_path, tiny_tables), on_existing="skip")
    assert counts(outcome) == {"added": 1, "unchanged": 1, "skipped": 1}
    table = Recommender.from_pretrained(model).table
    assert torch.equal(table.embeddings[:N_ITEMS], trained.model.table.embeddings)
    assert (table.titles[0], table.item_ids[N_ITEMS:]) == (trained.model.table.titles[0], ["n0"])


def test_known_with_other_content_is_replaced_in_its_row_and_keeps_its_own_vector(
    add: Callable[..., AddItemsOutcome], model: Path, tmp_path: Path, tiny_tables: Path
) -> None:
    loaded = Recommender.from_pretrained(model)
    assert loaded.own is not None
    # Whatever few steps of training made of it: it must be there to be kept.
    with torch.no_grad():
        loaded.own.table.weight[0] = torch.linspace(-0.5, 0.5, loaded.own.table.embedding_dim)
    loaded.save_pretrained(model)
    changed = changed_table(tmp_path, tiny_tables)
    table = loaded.table
    assert counts(add(changed, on_existing="replace")) == {"added": 1, "replaced": 1, "unchanged": 1}
    after = Recommender.from_pretrained(model).table
    assert (after.item_ids[0], after.titles[0]) == ("i0", "another steel whale")
    assert torch.equal(after.embeddings[1:N_ITEMS], table.embeddings[1:])
    assert not torch.allclose(after.embeddings[0], table.embeddings[0], atol=1e-3)
    # A new item with the same content has all of it but the vector of the old one's own.
    write_table(tmp_path / "changed", [("twin", "another steel whale", "")], "twin.csv")
    write_table(tmp_path / "changed", [("i0", "another steel whale", "")], "i0.csv")
    add(tmp_path / "changed" / "twin.csv")
    add(tmp_path / "changed" / "i0.csv", on_existing="replace")
    table = Recommender.from_pretrained(model).table
    twin, i0 = (table.embeddings[table.row(one) or 0] for one in ("twin", "i0"))
    assert (table.row("i0"), loaded.config.similarity) == (0, "cosine")
    own = loaded.own.table.weight[0].detach()
    # Both are normalised sums of the same content vector, one with the own vector and one without.
    basis = torch.stack([twin, own], dim=1)
    weights = torch.linalg.lstsq(basis, i0.unsqueeze(1)).solution
    torch.testing.assert_close(basis @ weights, i0.unsqueeze(1), atol=1e-4, rtol=0)
    assert float(weights[1]) > 0.01


def test_a_model_without_recorded_content_takes_known_items_for_changed(
    add: Callable[..., AddItemsOutcome], model: Path, tiny_tables: Path
) -> None:
    read = pq.read_table(model / "items.parquet")
    pq.write_table(read.select(["item_id", "title", "recommendable"]), model / "items.parquet")
    with pytest.raises(UserError, match="23 items are in the model already and the model does not say with what"):
        add(tiny_tables / "items.csv", on_empty="skip")
    # The item without any content is left as it is.
    assert counts(add(tiny_tables / "items.csv", on_existing="replace", on_empty="skip")) == {
        "replaced": N_ITEMS - 1,
        "empty": 1,
    }
    assert counts(add(tiny_tables / "items.csv", on_empty="skip")) == {"unchanged": N_ITEMS - 1, "empty": 1}


def test_an_item_taken_back_is_not_offered_and_comes_back_when_added_again(
    add: Callable[..., AddItemsOutcome], model: Path
) -> None:
    add()
    Additions(model).remove(["n2", "i5"], TINY["dim"])
    loaded = Recommender.from_pretrained(model)
    offered = {item.item_id for item in loaded.recommend([["i0", "n2", "i5"]], k=100, exclude_seen=False)[0]}
    assert not {"n2", "i5"} & offered
    assert counts(add()) == {"added": 1, "unchanged": N_NEW - 1}
    offered = {item.item_id for item in Recommender.from_pretrained(model).recommend([["i0"]], k=100)[0]}
    assert "n2" in offered


def test_text_alone_for_a_model_of_two_modalities_needs_no_picture_encoder(
    model: Path, tmp_path: Path, tiny_models: TinyModels, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "t.jsonl").write_text(json.dumps({"item_id": 5, "title": "a blue book"}) + "\n", encoding="utf-8")
    job = AddItemsJob(model=model, items=tmp_path / "t.jsonl", encoder=(f"text={tiny_models.text}",), device="cpu")
    assert counts(add_items(job)) == {"added": 1}
    assert "has no column image: its items have no image" in caplog.text
    loaded = Recommender.from_pretrained(model)
    assert "5" in {item.item_id for item in loaded.recommend([["i0"]], k=100)[0]}
    assert loaded.table.hashes["image"][N_ITEMS] is None
    # The same as an item that has an empty cell there.
    write_table(tmp_path, [("6", "a blue book", "")], "t.csv")
    both = (*job.encoder, f"image={tiny_models.image}")
    add_items(AddItemsJob(model=model, items=tmp_path / "t.csv", encoder=both, device="cpu"))
    table = Recommender.from_pretrained(model).table
    torch.testing.assert_close(table.embeddings[-1], table.embeddings[-2])


def test_saving_a_loaded_model_makes_additions_part_of_its_table(
    add: Callable[..., AddItemsOutcome], model: Path, tmp_path: Path
) -> None:
    add()
    Additions(model).remove(["n1"], TINY["dim"])
    loaded = Recommender.from_pretrained(model)
    histories = [["i0", "n3"], ["n1"]]
    expected = loaded.recommend(histories, k=50)
    for folder in (tmp_path / "elsewhere", model):
        loaded.save_pretrained(folder)
        assert not (folder / "additions").exists()
        again = Recommender.from_pretrained(folder)
        assert again.recommend(histories, k=50) == expected
        assert again.table.hashes == loaded.table.hashes
        assert again.table.removed.nonzero().flatten().tolist() == [N_ITEMS + 1]
    assert counts(add()) == {"added": 1, "unchanged": N_NEW - 1}
    assert [path.name for path in (model / "additions").iterdir()] == ["000003.parquet"]


def test_training_called_again_takes_no_added_item_away(
    tmp_path: Path, train_tiny: Callable[..., TrainOutcome], new_table: Path, tiny_models: TinyModels
) -> None:
    train_tiny(tmp_path / "run", max_epochs=1)
    encoders = (f"text={tiny_models.text}", f"image={tiny_models.image}")
    add_items(AddItemsJob(model=tmp_path / "run", items=new_table, encoder=encoders, device="cpu"))
    before = files(tmp_path / "run")
    train_tiny(tmp_path / "run", max_epochs=1)
    assert files(tmp_path / "run") == before
    other = train_tiny(tmp_path / "other", max_epochs=1, seed=1)
    save_whole(other.model, tmp_path / "run" / "model")
    assert len(Recommender.from_pretrained(tmp_path / "run" / "model").table) == N_ITEMS


def no_columns(folder: Path) -> None:
    data = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    data["details"]["columns"] = {}
    (folder / "config.json").write_text(json.dumps(data), encoding="utf-8")


def test_without_a_record_of_the_import_columns_are_guessed_and_said(
    add: Callable[..., AddItemsOutcome], model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    no_columns(model)
    caplog.set_level("INFO")
    assert counts(add()) == {"added": N_NEW}
    assert "does not say from what column text was read: trying 'title'" in caplog.text
    assert "does not say from what column image was read: trying 'image'" in caplog.text


def test_the_template_of_the_import_is_used_and_must_be_whole(
    tmp_path: Path, bare_dataset: Path, tiny_tables: Path, encode_job: Callable[..., EncodeJob], tiny_models: TinyModels
) -> None:
    config = DelimitedImport(
        items=tiny_tables / "items.csv",
        interactions=tiny_tables / "interactions.csv",
        text="{title} of {item_id} &amp; co",
        unescape_html=True,
    )
    dataset = import_delimited(config, tmp_path / "dataset")
    encode_dataset(encode_job(dataset.path))
    training = TrainConfig.preset("default", **{**TINY, "max_epochs": 1})
    train_recommender(TrainJob(dataset=dataset.path, run=tmp_path / "run"), training)
    job = {"model": tmp_path / "run", "encoder": (f"text={tiny_models.text}",), "device": "cpu"}
    same = add_items(AddItemsJob(items=tiny_tables / "items.csv", **job))  # type: ignore[arg-type]
    assert counts(same) == {"unchanged": N_ITEMS}
    (tmp_path / "part.csv").write_text("item_id,name\nn1,a lamp\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"part\.csv: no column 'title'; the columns are item_id, name"):
        add_items(AddItemsJob(items=tmp_path / "part.csv", **job))  # type: ignore[arg-type]
    given = AddItemsJob(items=tmp_path / "part.csv", text="{name}", title_column="name", **job)  # type: ignore[arg-type]
    assert counts(add_items(given)) == {"added": 1}
    assert Recommender.from_pretrained(tmp_path / "run" / "model").table.titles[-1] == "a lamp"


def bad_picture(folder: Path) -> Path:
    whole = pictures(folder / "p", 1, seed=3)[0]
    whole.write_bytes(whole.read_bytes()[:-40])
    return write_table(folder, [("a", "good", ""), ("b", "bad", str(whole.relative_to(folder)))])


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (bad_picture, {}, r"image of item 'b': .*is damaged.*on_bad_media=skip"),
        (lambda f: write_table(f, [("a", "one", ""), ("a", "two", "")]), {}, r"line 3: item 'a' is there already"),
        (lambda f: write_table(f, [("a", "one", ""), ("", "two", "")]), {}, "line 3: the item id is blank"),
        (lambda f: write_table(f, [("a", "one", "../x.png")]), {}, "not a plain path relative to the media folder"),
        (lambda f: write_table(f, [("a", "one", "https://a.b/x.png")]), {}, "is a URL; nothing is fetched"),
        (lambda f: write_table(f, [("a", "one", "x.png")]), {}, "there is no file 'x.png'"),
        (
            lambda f: write_table(f, [("a", "one", ""), ("b", " ", ""), ("c", "", "")]),
            {},
            r"2 items have nothing in image or text, such as 'b', 'c'.*--on-empty skip",
        ),
        (lambda f: f / "nothing.csv", {}, r"nothing\.csv: the file does not exist"),
        (lambda f: write_table(f, []), {}, "no rows"),
        (lambda f: write_table(f, [("a", "one", "")]), {"text": "{name}"}, "no column 'name'"),
        (lambda f: write_table(f, [("a", "one", "")]), {"image_column": "cover"}, "no column 'cover'"),
        (lambda f: write_table(f, [("a", "one", "")]), {"item_id_column": "sku"}, "no column 'sku'"),
        (
            lambda f: write_table(f, [("a", "one", "")]),
            {"extra_texts": ("review=title",)},
            r"the model has no text modality 'review'; it has: image \(image\), text \(text\)",
        ),
        (lambda f: write_table(f, [("a", "one", "")]), {"encoder": ("sound=x",)}, "the model has no modality 'sound'"),
        (
            lambda f: write_table(f, [("a", "one", "")]),
            {"encoder": ()},
            r"the encoder was loaded from a folder named 'bert'; say where that is now, with --encoder",
        ),
        (
            lambda f: write_table(f, [("a", "one", "")]),
            {"encoder": ("text=OTHER",)},
            r"another encoder than the model was trained with: revision differ",
        ),
        (
            lambda f: write_table(f, [("a", "one", "")]),
            {"encoder": ("text=./nowhere",)},
            r"\./nowhere: model folder does not exist",
        ),
        (lambda f: write_table(f, [("a", "one", "")]), {"states": Path("nowhere")}, "no hidden-state store here"),
        (
            lambda f: write_table(f, [("a", "one", "")]),
            {"model": Path("org/name")},
            "a model of the hub has to be saved",
        ),
        (lambda f: write_table(f, [("a", "one", "")]), {"device": "cuda:99"}, "cuda:99"),
    ],
)
def test_an_error_is_one_line_and_changes_no_byte(
    add: Callable[..., AddItemsOutcome],
    model: Path,
    tmp_path: Path,
    make: Callable[[Path], Path],
    options: dict[str, Any],
    message: str,
) -> None:
    if options.get("encoder") == ("text=OTHER",):
        options = {"encoder": (f"text={bert(tmp_path / 'bert', num_attention_heads=4)}",)}
    before = files(model)
    with pytest.raises(UserError, match=message) as error:
        add(make(tmp_path / "bad"), **options)
    assert "\n" not in str(error.value)
    assert files(model) == before
    assert sorted(path.name for path in model.iterdir()) == sorted({name.split("/")[0] for name in before})


def test_bad_pictures_and_empty_items_are_left_out_and_counted_when_asked(
    add: Callable[..., AddItemsOutcome], model: Path, tmp_path: Path
) -> None:
    table = bad_picture(tmp_path / "bad")
    with table.open("a", encoding="utf-8") as stream:
        stream.write("c,,\n")
    outcome = add(table, on_bad_media="skip", on_empty="skip")
    assert counts(outcome) == {"added": 2, "empty": 1}
    assert (outcome.total, outcome.refused) == (3, {"image:unreadable": 1})


@pytest.mark.parametrize("where", ["bytes", "tar"])
def test_pictures_may_stand_in_the_table_or_in_archives_as_at_the_import(
    add: Callable[..., AddItemsOutcome], model: Path, new_table: Path, tmp_path: Path, where: str
) -> None:
    add()
    expected = Recommender.from_pretrained(model).table
    rows = list(csv.DictReader(new_table.open(encoding="utf-8")))
    (tmp_path / "held").mkdir()
    if where == "bytes":
        read = [(new_table.parent / row["image"]).read_bytes() if row["image"] else None for row in rows]
        columns = {"item_id": [f"x{row['item_id']}" for row in rows], "title": [row["title"] for row in rows]}
        pq.write_table(pa.table({**columns, "image": pa.array(read, pa.binary())}), tmp_path / "held" / "x.parquet")
        add(tmp_path / "held" / "x.parquet")
    else:
        with tarfile.open(tmp_path / "held" / "x.tar", "w") as archive:
            archive.add(new_table.parent / "pictures", "pictures")
        table = write_table(tmp_path / "held", [(f"x{row['item_id']}", row["title"], row["image"]) for row in rows])
        add(table, media_tar=(str(tmp_path / "held" / "x.tar"),))
    table = Recommender.from_pretrained(model).table
    assert table.hashes["image"][-N_NEW:] == expected.hashes["image"][-N_NEW:]
    torch.testing.assert_close(table.embeddings[-N_NEW:], expected.embeddings[-N_NEW:])


def test_what_a_kill_left_goes_with_the_next_run(add: Callable[..., AddItemsOutcome], model: Path) -> None:
    (model / ".additions.scratch" / "media").mkdir(parents=True)
    (model / ".additions.scratch" / "media" / "x.png").write_bytes(b"x")
    (model / "additions").mkdir()
    (model / "additions" / ".000001.parquet.tmp").write_bytes(b"half")
    assert counts(add()) == {"added": N_NEW}
    assert not [path for path in model.rglob("*") if path.name.startswith(".")]


def test_items_whose_states_were_computed_elsewhere_come_with_their_states(
    tmp_path: Path, tiny_tables: Path, new_table: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tables = shutil.copytree(tiny_tables, tmp_path / "tables")
    shutil.copytree(new_table.parent / "pictures", tables / "pictures", dirs_exist_ok=True)
    new_rows = new_table.read_text(encoding="utf-8").splitlines(keepends=True)[1:]
    (tables / "grown.csv").write_text((tables / "items.csv").read_text() + "".join(new_rows), encoding="utf-8")
    states = np.random.default_rng(0).normal(size=(N_ITEMS + N_NEW, 2, 8)).astype(np.float32)
    for name, n in (("items", N_ITEMS), ("grown", N_ITEMS + N_NEW)):
        config = DelimitedImport(items=tables / f"{name}.csv", interactions=tables / "interactions.csv")
        ids = import_delimited(config, tmp_path / name).item_ids
        np.save(tmp_path / f"{name}.npy", states[:n])
        (tmp_path / f"{name}.txt").write_text("\n".join(ids) + "\n", encoding="utf-8")
        job = ImportStatesJob(
            dataset=tmp_path / name,
            modality="sound",
            states=[tmp_path / f"{name}.npy"],
            ids=[tmp_path / f"{name}.txt"],
            encoder_name="whale",
        )
        import_dataset_states(job)
    config_of_training = TrainConfig.preset("default", **{**TINY, "max_epochs": 1, "modalities": ["sound"]})
    train_recommender(TrainJob(dataset=tmp_path / "items", run=tmp_path / "run"), config_of_training)
    job_of_adding = AddItemsJob(model=tmp_path / "run", items=new_table, device="cpu")
    with pytest.raises(UserError, match=r"the states of 'sound' were computed elsewhere and imported.*--states"):
        add_items(job_of_adding)
    job_of_adding = job_of_adding.model_copy(update={"states": tmp_path / "grown" / "states"})
    stranger = write_table(tmp_path / "stranger", [("n9", "a red kettle", "")])
    with pytest.raises(UserError, match=r"1 items have no states of sound in the stores, such as 'n9'; import"):
        add_items(job_of_adding.model_copy(update={"items": stranger}))
    caplog.clear()
    outcome = add_items(job_of_adding)
    assert counts(outcome) == {"added": N_NEW}
    assert (
        "the states of sound were imported: whether they are of the table's content cannot be compared" in caplog.text
    )
    loaded = Recommender.from_pretrained(tmp_path / "run" / "model")
    store = HiddenStateStore.open(tmp_path / "grown" / "states" / "sound")
    source = CachedSource({"sound": store}, Dataset.open(tmp_path / "grown").item_ids)
    torch.testing.assert_close(loaded.table.embeddings, loaded.embed_items(source), atol=1e-5, rtol=0)


def import_sounds(dataset: Path, ids: list[str]) -> None:
    np.save(dataset.parent / "sounds.npy", np.random.default_rng(len(ids)).normal(size=(len(ids), 2, 8)))
    (dataset.parent / "sounds.txt").write_text("\n".join(ids) + "\n", encoding="utf-8")
    paths = {"states": [dataset.parent / "sounds.npy"], "ids": [dataset.parent / "sounds.txt"]}
    import_dataset_states(ImportStatesJob(dataset=dataset, modality="sound", encoder_name="whale", **paths))


def test_imported_states_beside_encoded_ones(
    tmp_path: Path, tiny_dataset: Dataset, new_table: Path, new_stores: Path
) -> None:
    """Pictures are compared with the table, sounds are known by their states; the second item has neither."""
    shutil.copytree(tiny_dataset.path, tmp_path / "old" / "dataset")
    import_sounds(tmp_path / "old" / "dataset", tiny_dataset.item_ids)
    import_sounds(new_stores.parent, ["n0", "n3"])
    training = TrainConfig.preset("default", **{**TINY, "max_epochs": 1, "modalities": ["image", "sound"]})
    train_recommender(TrainJob(dataset=tmp_path / "old" / "dataset", run=tmp_path / "run"), training)
    job = AddItemsJob(model=tmp_path / "run", items=new_table, states=new_stores, device="cpu")
    with pytest.raises(UserError, match=r"1 items have nothing in image and no states of sound in the stores.*'n1'"):
        add_items(job)
    assert counts(add_items(job.model_copy(update={"on_empty": "skip"}))) == {"added": N_NEW - 1, "empty": 1}
    loaded = Recommender.from_pretrained(tmp_path / "run" / "model")
    source = CachedSource(
        {name: HiddenStateStore.open(new_stores / name) for name in ("image", "sound")}, loaded.table.item_ids[N_ITEMS:]
    )
    expected = loaded.embed_items(source, catalogue_rows=torch.arange(N_ITEMS, len(loaded.table)))
    torch.testing.assert_close(loaded.table.embeddings[N_ITEMS:], expected, atol=1e-5, rtol=0)


def with_details(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    data = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    change(data["details"])
    (folder / "config.json").write_text(json.dumps(data), encoding="utf-8")


def imported(details: dict[str, Any]) -> None:
    details["encoders"]["text"] = {"imported": True, "kind": "text", "taps": [0, 2, 4], "width": 16, "source": "x"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda details: details.pop("encoders"), "does not say what encoders it was trained with"),
        (lambda details: details["encoders"].pop("image"), "does not say what encoders it was trained with"),
        (
            lambda details: details["encoders"]["text"].pop("preprocessing"),
            "what is recorded of the encoder is incomplete",
        ),
        (lambda details: details["encoders"]["text"].update(taps="x"), "what is recorded of the encoder is incomplete"),
        (
            lambda details: details["encoders"]["text"]["preprocessing"].update(max_tokens=7, lowercase="yes please"),
            "what is recorded of the encoder is incomplete",
        ),
        (imported, r"the states of 'text' were computed elsewhere.*--states"),
    ],
)
def test_a_model_that_says_too_little_of_its_encoders_is_refused(
    add: Callable[..., AddItemsOutcome], model: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    with_details(model, change)
    before = files(model)
    with pytest.raises(UserError, match=message):
        add()
    assert files(model) == before


def test_a_model_of_ids_alone_takes_no_new_items(
    tmp_path: Path, train_tiny: Callable[..., TrainOutcome], add: Callable[..., AddItemsOutcome]
) -> None:
    train_tiny(tmp_path / "ids", method="id", max_epochs=1)
    with pytest.raises(UserError, match=r"the model knows items by their ids only; train one with --method iisan"):
        add(model=tmp_path / "ids")


def test_a_model_of_before_dtypes_were_recorded_says_what_it_takes(
    add: Callable[..., AddItemsOutcome], model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with_details(model, lambda details: details.pop("state_dtypes"))
    assert counts(add()) == {"added": N_NEW}
    assert "does not say in what dtype the states of text were kept; taking float16" in caplog.text


# Runs the job in children that are killed at random, until one gets to its end.
KILLED = """
    import os, random, shutil, signal, sys, time
    from pathlib import Path
    import torch
    from iisan.encoders.text import TextEncoder
    from iisan.jobs import add_items as module
    from iisan.jobs import append_items
    from iisan.models.item_table import ItemTable

    torch.set_num_threads(1)
    os.fsync = lambda descriptor: None
    append_items.ITEMS_AT_ONCE = 2
    root, model, items, encoder = map(Path, sys.argv[1:])
    random.seed(0)

    def run(folder):
        job = module.AddItemsJob(model=folder, items=items, encoder=(f"text={encoder}",), device="cpu")
        return module.add_items(job)

    def content(folder):
        return {str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()}

    whole = shutil.copytree(model, root / "whole")
    run(whole)
    kills, partly = 0, 0
    for attempt in range(3):
        folder = shutil.copytree(model, root / str(attempt))
        base = len(ItemTable.load(folder))
        for stop in (random.randint(1, 4), random.randint(5, 9), None):
            child = os.fork()
            if child == 0:
                append = module.Additions.append
                module.Additions.append = lambda *given: (append(*given), time.sleep(0.01))[0]
                run(folder)
                os._exit(0)
            while stop is not None and not (folder / "additions" / f"{stop:06d}.parquet").exists():
                time.sleep(0.001)
            if stop is not None:
                time.sleep(random.uniform(0, 0.02))
                os.kill(child, signal.SIGKILL)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            added = len(ItemTable.load(folder)) - base
            assert added % 2 == 0, added
            assert code == (0 if stop is None else -signal.SIGKILL), code
            kills += code != 0
            partly += 0 < added < 20
        assert content(folder) == content(whole)
    print(kills, partly)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_a_kill_at_any_moment_leaves_whole_additions_and_the_next_run_ends_the_same(
    model: Path, tmp_path: Path, tiny_models: TinyModels
) -> None:
    made = texts(20, seed=12)
    (tmp_path / "many.jsonl").write_text(
        "".join(json.dumps({"item_id": f"m{k}", "title": made[k]}) + "\n" for k in range(20)), encoding="utf-8"
    )
    words = [str(one) for one in (tmp_path, model, tmp_path / "many.jsonl", tiny_models.text)]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), *words],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["6", "6"]
