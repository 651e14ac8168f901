"""The model that is served, from being opened to being replaced under load."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from iisan.data.dataset import Dataset
from iisan.jobs.explain import ExplainJob, explain_recommendations
from iisan.jobs.train import TrainOutcome
from iisan.models.added_facts import AddedFacts
from iisan.models.added_items import AddedItems
from iisan.models.additions import Additions
from iisan.models.explanation.coalitions import OWN_VECTOR, embeddings_of_parts
from iisan.serving import live_model
from iisan.serving.filters import Filters
from iisan.serving.index import IndexOptions
from iisan.serving.live_model import LiveModel
from iisan.serving.rank_request import RankRequest
from iisan.serving.refusals import NotPossible, StillComputing, UnknownItems
from iisan.serving.snapshot import Snapshot
from tests.conftest import N_ITEMS, NO_CONTENT, NO_PICTURE

CPU = torch.device("cpu")
HISTORIES = [["i0", "i1", "i2"], ["i5"], [f"i{row}" for row in range(9)]]
LIKE_I3 = 3


@pytest.fixture
def model(trained: TrainOutcome, tmp_path: Path) -> Path:
    """A copy of the trained run's model folder."""
    folder = tmp_path / "model"
    shutil.copytree(trained.folder, folder)
    return folder


@pytest.fixture
def live(model: Path, tiny_dataset: Dataset) -> LiveModel:
    return LiveModel.open(model, device=CPU, dataset=tiny_dataset.path)


def add(model: Path, live: LiveModel, item_id: str, title: str, **facts: object) -> None:
    """Adds an item with the embedding of i3."""
    vector = live.snapshot.table.embeddings[LIKE_I3 : LIKE_I3 + 1]
    known = {0: AddedFacts(**facts)} if facts else None  # type: ignore[arg-type]
    Additions(model).append(AddedItems.new([item_id], [title], vector, {}, known))


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("k", [1, 5, 100])
def test_recommendations_are_those_of_the_model(
    live: LiveModel, trained: TrainOutcome, k: int, exclude_seen: bool
) -> None:
    found = live.snapshot.recommend(HISTORIES, k, exclude_seen=exclude_seen)
    wanted = trained.model.recommend(HISTORIES, k, exclude_seen=exclude_seen)
    for one, other in zip(found, wanted, strict=True):
        assert [item.item_id for item in one] == [item.item_id for item in other]
        assert [item.score for item in one] == pytest.approx([item.score for item in other], abs=1e-5)
        assert [item.title for item in one] == [item.title for item in other]


def test_requests_of_all_kinds_are_answered_together_as_they_are_alone(live: LiveModel) -> None:
    snapshot = live.snapshot
    text = frozenset(["text"])
    future = snapshot.prepare(text)
    assert future is not None
    future.result(timeout=60)
    requests = [
        RankRequest(["i0", "i1"], 3),
        RankRequest(["ghost", "i0", "spectre"], 3),
        RankRequest(["i4"], 7, exclude_seen=False),
        RankRequest(["i4"], 4, filters=Filters(include=["i9", "i4", "i8", "nobody"])),
        RankRequest([], 4),
        RankRequest(["i0"], 4, filters=Filters(attributes={"colour": ["red"]})),
        RankRequest(["i0", "i1"], 5, modalities=text),
        RankRequest(["i0"], 2, modalities=frozenset(["sound"])),
        RankRequest(["i0"], 0),
        RankRequest(["i0", "i1"], 5, modalities=frozenset(["text", "image"])),
    ]
    together = snapshot.rank(requests)
    for request, answer in zip(requests, together, strict=True):
        [alone] = snapshot.rank([request])
        if isinstance(answer, Exception):
            assert (type(alone), str(alone)) == (type(answer), str(answer))
            continue
        assert not isinstance(alone, Exception)
        assert [one.item_id for one in alone] == [one.item_id for one in answer]
        assert [one.score for one in alone] == pytest.approx([one.score for one in answer], abs=1e-5)
    assert isinstance(together[1], UnknownItems)
    assert together[1].item_ids == ["ghost", "spectre"]
    assert [one.item_id for one in sorted(together[3], key=lambda one: one.item_id)] == ["i8", "i9"]  # type: ignore[arg-type]
    errors = [str(answer) for answer in together if isinstance(answer, Exception)]
    assert "the history is empty" in errors[1]
    assert "items have no attribute 'colour'; there are: none" in errors[2]
    assert "no modality 'sound'" in errors[3]
    assert "0 items cannot be recommended" in errors[4]
    [all_of_them] = snapshot.recommend([["i0", "i1"]], 5)
    assert [one.item_id for one in together[9]] == [one.item_id for one in all_of_them]  # type: ignore[union-attr]


def test_a_request_that_breaks_the_ranking_leaves_its_neighbours_alone(
    live: LiveModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = live.snapshot.recommender.last_states

    def breaks(histories: list[list[int]], embeddings: torch.Tensor) -> torch.Tensor:
        if any(13 in history for history in histories):
            raise RuntimeError("the thirteenth")
        return whole(histories, embeddings)

    monkeypatch.setattr(live.snapshot.recommender, "last_states", breaks)
    answers = live.snapshot.rank([RankRequest([f"i{row}"], 3) for row in (1, 13, 2)])
    assert [type(answer) for answer in answers] == [list, RuntimeError, list]


def test_added_items_are_served_without_reading_the_model_again(
    model: Path, live: LiveModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = live.snapshot
    assert not live.refresh()
    assert live.snapshot is before
    add(model, live, "new/1 ü", "Brandneu", picture="0" * 64, attributes={"colour": "red"})
    monkeypatch.setattr(LiveModel, "_load", lambda _: pytest.fail("the model was read again"))
    assert live.refresh()
    after = live.snapshot
    assert (before.addition, after.addition) == (0, 1)
    assert before.version != after.version
    assert before.version.split("-")[0] == after.version.split("-")[0]
    assert after.search("BRAND", 3) == ["new/1 ü"]
    assert after.similar("i3", 1)[0].item_id == "new/1 ü"
    red = Filters(attributes={"colour": ["red", "green"]})
    assert [one.item_id for one in after.recommend([["i1"]], 5, filters=red)[0]] == ["new/1 ü"]
    assert [one.item_id for one in after.recommend([["new/1 ü"]], 30)[0]] != []
    row = after.rows(["new/1 ü"])[0]
    assert after.facts.attributes_of(row) == {"colour": "red"}
    assert after.facts.has_picture(row)
    assert after.facts.picture_of(row) is None  # the file is not there
    assert after.project([row]).tolist() == after.project([LIKE_I3]).tolist()
    # Who holds the old one keeps it.
    with pytest.raises(UnknownItems):
        before.recommend([["new/1 ü"]])
    assert before.search("BRAND", 3) == []
    assert len(before.recommend([["i0"]], 100)[0]) == N_ITEMS - 1 - len(NO_CONTENT)
    assert len(after.recommend([["i0"]], 100)[0]) == N_ITEMS - len(NO_CONTENT)


def test_what_is_taken_back_is_offered_nowhere(model: Path, live: LiveModel) -> None:
    dim = live.snapshot.table.embeddings.shape[1]
    title = live.snapshot.table.titles[4]
    Additions(model).remove(["i4"], dim)
    assert live.refresh()
    snapshot = live.snapshot
    everything = Filters(include=[f"i{row}" for row in range(N_ITEMS)])
    for filters in (None, everything):
        assert "i4" not in [one.item_id for one in snapshot.recommend([["i0"]], 100, filters=filters)[0]]
        assert "i4" not in [one.item_id for one in snapshot.similar("i5", 100, filters)]
    assert "i4" not in snapshot.search(str(title), 100)
    assert "i4" not in snapshot.search("i4", 100)
    assert "i4" not in snapshot.search("", 100)
    assert 4 not in snapshot.map.rows
    assert snapshot.recommend([["i4"]], 1)[0]  # it may stand in histories


def test_new_weights_are_read_whole_and_a_folder_half_way_is_not(
    model: Path,
    live: LiveModel,
    tmp_path: Path,
    train_tiny: Callable[..., TrainOutcome],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = live.snapshot
    monkeypatch.setattr(live_model, "REST_S", 0.0)
    other = train_tiny(tmp_path / "other", max_epochs=1, seed=7)
    (model / "config.json").write_text("{", encoding="utf-8")
    for _ in range(3):
        assert not live.refresh()
    assert "config.json is not a recommender's" in str(live.problem)
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1  # it is not read again and again
    assert live.snapshot is before
    for path in other.folder.iterdir():
        if path.is_file():
            shutil.copy(path, model / path.name)
    assert live.refresh()
    assert live.problem is None
    assert live.snapshot.version != before.version
    wanted = other.model.recommend(HISTORIES, 5)
    assert [[one.item_id for one in line] for line in live.snapshot.recommend(HISTORIES, 5)] == [
        [one.item_id for one in line] for line in wanted
    ]
    assert not live.refresh()


def test_weights_are_not_read_while_their_files_still_change(model: Path, live: LiveModel) -> None:
    before = live.snapshot
    live.snapshot.recommender.save_pretrained(model)
    assert not live.refresh()
    assert live.snapshot is before
    add(model, live, "new", "New")
    live._since -= 2 * live_model.REST_S
    assert live.refresh()
    assert live.snapshot is not before
    assert "new" in live.snapshot.table.item_ids


def test_additions_to_other_weights_are_a_problem_and_not_an_end(model: Path, live: LiveModel) -> None:
    before = live.snapshot
    add(model, live, "new", "New")
    (model / "additions" / "000001.parquet").write_bytes(b"damaged")
    assert not live.refresh()
    assert "cannot be read" in str(live.problem)
    assert live.snapshot is before
    assert live.snapshot.recommend([["i0"]])[0]
    (model / "additions" / "000001.parquet").unlink()
    add(model, live, "new", "New")
    assert live.refresh()
    assert live.problem is None
    assert live.snapshot.addition == 1


def test_nobody_waits_or_fails_while_items_come_and_go(model: Path, live: LiveModel) -> None:
    errors: list[Exception] = []
    stop, served = threading.Event(), [0, 0]

    def ask(worker: int) -> None:
        while not stop.is_set():
            snapshot = live.snapshot
            ids = snapshot.table.item_ids
            for answer in snapshot.rank([RankRequest([ids[-1]], 5), RankRequest(["i1", "i2"], 5)]):
                if isinstance(answer, Exception):
                    errors.append(answer)
            served[worker] += 1

    threads = [threading.Thread(target=ask, args=(worker,)) for worker in range(2)]
    for thread in threads:
        thread.start()
    for number in range(12):
        add(model, live, f"more-{number}", f"More {number}")
        assert live.refresh()
        assert live.snapshot.search(f"more {number}", 30).count(f"more-{number}") == 1
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert min(served) > 0
    assert live.snapshot.addition == 12


@pytest.mark.parametrize("kept", ["text", "image"])
def test_a_modality_left_out_is_left_out_of_every_item(
    model: Path, live: LiveModel, tiny_dataset: Dataset, kept: str
) -> None:
    snapshot = live.snapshot
    modalities = frozenset([kept])
    future = snapshot.prepare(modalities)
    assert future is not None
    embeddings = future.result(timeout=60)
    ids = snapshot.table.item_ids
    states = snapshot.basis.states_of(ids)
    with torch.inference_mode():
        wanted = embeddings_of_parts(snapshot.recommender, states, torch.arange(len(ids)), [kept, OWN_VECTOR])
    assert torch.allclose(embeddings, wanted, atol=1e-5)
    assert not torch.allclose(embeddings, snapshot.table.embeddings, atol=1e-2)
    state = snapshot.recommender.last_states([[0, 1]], wanted)
    scores = (wanted @ state[0]).masked_fill(~snapshot.table.recommendable, -torch.inf)
    scores[[0, 1]] = -torch.inf
    [found] = snapshot.recommend([["i0", "i1"]], 4, modalities=modalities)
    assert [one.item_id for one in found] == [ids[row] for row in scores.topk(4).indices.tolist()]
    # An item that came since has no states: it keeps its whole embedding.
    add(model, live, "new", "New")
    assert live.refresh()
    every = live.snapshot.recommend([["i0", "i1"]], 100, modalities=modalities)[0]
    assert {"new"} == {one.item_id for one in every} - set(ids)


def test_embeddings_that_are_not_there_yet_are_refused_and_then_there(
    live: LiveModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot, go = live.snapshot, threading.Event()
    compute = snapshot.variants._compute
    monkeypatch.setattr(snapshot.variants, "_compute", lambda kept: (go.wait(60), compute(kept))[1])
    text = frozenset(["text"])
    with pytest.raises(StillComputing, match="read from text alone; ask again"):
        snapshot.recommend([["i0"]], modalities=text)
    go.set()
    future = snapshot.prepare(text)
    assert future is not None
    future.result(timeout=60)
    assert snapshot.recommend([["i0"]], modalities=text)[0]


def test_a_model_that_cannot_leave_modalities_out_says_why(
    live: LiveModel, model: Path, tmp_path: Path, train_tiny: Callable[..., TrainOutcome]
) -> None:
    with pytest.raises(Exception, match="all modalities are left out"):
        live.snapshot.prepare(frozenset())
    without = LiveModel.open(model, device=CPU)
    assert without.snapshot.variants.modalities == ["image", "text"]
    with pytest.raises(NotPossible, match="dataset that the model was trained on is not at hand"):
        without.snapshot.recommend([["i0"]], modalities=frozenset(["text"]))
    assert without.snapshot.facts.picture_of(0) is None
    assert without.snapshot.explain(["i0", "i1"], k=1).notes
    by_id = LiveModel.open(train_tiny(tmp_path / "id", method="id", max_epochs=1).folder, device=CPU).snapshot
    assert by_id.variants.modalities == []
    assert by_id.prepare(None) is None
    assert "by their ids only" in str(by_id.variants.why_not)


def test_an_explanation_is_that_of_the_command_line(
    live: LiveModel, trained: TrainOutcome, tiny_dataset: Dataset
) -> None:
    found = live.snapshot.explain(["i0", "i1", "i2"], ["i5", "i7"])
    job = ExplainJob(
        model=str(trained.folder), dataset=tiny_dataset.path, history="i0 i1 i2", items="i5 i7", device="cpu"
    )
    wanted = explain_recommendations(job)
    assert found.explanation == wanted.explanation
    assert found.gates == wanted.gates
    with pytest.raises(UnknownItems, match="'ghost' is not in the catalogue"):
        live.snapshot.explain(["i0"], ["ghost"])


def test_facts_come_from_the_dataset(live: LiveModel, tiny_dataset: Dataset) -> None:
    facts = live.snapshot.facts
    counts = [int((tiny_dataset.interactions.item == row).sum()) for row in range(N_ITEMS)]
    assert facts.popularity.tolist() == counts
    for row, path in enumerate(tiny_dataset.image_paths("image")):
        assert facts.has_picture(row) == (row not in NO_PICTURE)
        assert facts.picture_of(row) == path
    found = live.snapshot.search("", N_ITEMS)
    assert [counts[int(item_id[1:])] for item_id in found] == sorted(counts, reverse=True)


def test_the_dataset_of_a_run_is_found(trained: TrainOutcome, tiny_dataset: Dataset) -> None:
    live = LiveModel.open(trained.folder.parent, device=CPU, index=IndexOptions(kind="approximate"))
    assert live.dataset is not None
    assert live.dataset.path == tiny_dataset.path
    assert live.model == trained.folder
    assert live.snapshot.index.report.kind == "approximate"
    assert live.snapshot.index.report.recall == 1.0
    assert live.snapshot.index.report.queries > 0


def same_lists(one: Snapshot, other: Snapshot) -> bool:
    return [[item.item_id for item in line] for line in one.recommend(HISTORIES, 5)] == [
        [item.item_id for item in line] for line in other.recommend(HISTORIES, 5)
    ]


def test_an_approximate_index_serves_the_same_catalogue(model: Path, live: LiveModel) -> None:
    approximate = LiveModel.open(model, device=CPU, index=IndexOptions(kind="approximate"))
    assert same_lists(live.snapshot, approximate.snapshot)
    add(model, live, "new", "New")
    assert live.refresh()
    assert approximate.refresh()
    assert same_lists(live.snapshot, approximate.snapshot)
