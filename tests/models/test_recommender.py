"""The saved model: recommendations before and after, damage, and the sequence encoder's view of a history."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from iisan.errors import UserError
from iisan.jobs.train import TrainOutcome, recommender_config
from iisan.models.item_table import ItemTable
from iisan.models.recommender import CPU_CHUNK, Recommendation, Recommender
from iisan.training.config import TrainConfig
from tests.random_source import RandomSource

N, LENGTH = 12, 4
WITHOUT_CONTENT = 5
FILES = {"config.json", "model.safetensors", "items.parquet", "item_embeddings.safetensors", "README.md"}


def build(similarity: str = "cosine", whiten: str = "yes", method: str = "iisan") -> Recommender:
    source = RandomSource({"image": (2, 6), "text": (3, 8)}, N, seed=3)
    config = TrainConfig.preset(
        "default",
        method=method,
        similarity=similarity,
        whiten=whiten,
        dim=8,
        bottleneck=4,
        max_length=LENGTH,
        n_layers=2,
        dropout=0.4,
    )
    torch.manual_seed(0)
    shapes = {} if method == "id" else source.modalities
    model = Recommender(recommender_config(config, shapes, N), details={"metrics": {"validation HR@10": 0.5}})
    model.fit_whitening(source)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "blocks" in name and name.startswith("item_encoder"):
                parameter.normal_(std=0.3)
    recommendable = torch.ones(N, dtype=torch.bool)
    recommendable[WITHOUT_CONTENT] = False
    titles = [None if row == 2 else f"title {row}" for row in range(N)]
    model.item_table = ItemTable([f"i{row}" for row in range(N)], titles, model.embed_items(source), recommendable)
    return model.eval()


@pytest.fixture(params=["cosine", "dot"])
def model(request: pytest.FixtureRequest) -> Recommender:
    return build(request.param)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    build().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def ids(items: list[Recommendation]) -> list[str]:
    return [item.item_id for item in items]


HISTORIES = [["i0"], ["i3", "i4"], ["i1", "i2", "i3", "i6", "i7", "i8"], ["i9", "i9", "i9"]]


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("method", ["iisan", "frozen", "id"])
def test_a_saved_model_recommends_the_same(tmp_path: Path, similarity: str, method: str) -> None:
    model = build(similarity, method=method)
    expected = model.recommend(HISTORIES, k=5)
    model.save_pretrained(tmp_path / "model")
    loaded = Recommender.from_pretrained(tmp_path / "model")
    assert {path.name for path in (tmp_path / "model").iterdir()} == FILES
    assert loaded.recommend(HISTORIES, k=5) == expected
    assert loaded.config == model.config
    assert loaded.details == model.details
    assert not loaded.training
    assert "validation HR@10 | 0.5000" in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    # And again: what was loaded can be saved.
    loaded.save_pretrained(tmp_path / "again")
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "model" / name).read_bytes()


def test_no_file_is_a_pickle(saved: Path) -> None:
    for path in saved.iterdir():
        content = path.read_bytes()
        assert not content.startswith((b"\x80", b"PK")), path.name


def test_scores_are_the_inner_products(model: Recommender) -> None:
    table = model.table
    history = [table.row(item) for item in HISTORIES[1]]
    slots = torch.tensor([[0] * (LENGTH - 2) + [row + 1 for row in history if row is not None]])
    with torch.no_grad():
        state = model.user_states(table.embeddings, slots)[0, -1]
    wanted = {item: float(state @ table.embeddings[row]) for row, item in enumerate(table.item_ids)}
    offered = model.recommend([HISTORIES[1]], k=N)[0]
    for item in offered:
        assert item.score == pytest.approx(wanted[item.item_id], abs=1e-5)
    assert [item.score for item in offered] == sorted((item.score for item in offered), reverse=True)
    assert set(ids(offered)) == set(table.item_ids) - set(HISTORIES[1]) - {f"i{WITHOUT_CONTENT}"}
    assert {item.item_id: item.title for item in offered}["i2"] is None


def test_seen_items_are_left_out_also_beyond_the_length(model: Recommender) -> None:
    history = ["i1", "i2", "i3", "i6", "i7", "i8"]
    assert len(history) > LENGTH
    offered = ids(model.recommend([history], k=N)[0])
    assert not set(offered) & set(history)
    with_seen = ids(model.recommend([history], k=N, exclude_seen=False)[0])
    assert set(with_seen) == set(model.table.item_ids) - {f"i{WITHOUT_CONTENT}"}
    # What is older than the length changes what is excluded, not the order of the rest.
    recent = ids(model.recommend([history[-LENGTH:]], k=N)[0])
    assert [item for item in recent if item not in history] == offered


def test_an_item_without_content_is_never_offered_but_may_be_in_a_history(model: Recommender) -> None:
    name = f"i{WITHOUT_CONTENT}"
    for seen in (True, False):
        for items in model.recommend([*HISTORIES, [name]], k=N, exclude_seen=seen):
            assert name not in ids(items)


@pytest.mark.parametrize("k", [1, 3, N, 10 * N])
def test_a_list_has_k_items_or_all_there_are(model: Recommender, k: int) -> None:
    first = model.recommend([["i0"]], k=k)[0]
    assert len(first) == min(k, N - 2)
    assert first == model.recommend([["i0"]], k=N)[0][:k]


def test_histories_are_served_alike_alone_and_in_batches(model: Recommender) -> None:
    together = model.recommend(HISTORIES, k=4)
    in_batches = model.recommend(HISTORIES, k=4, batch_size=3)
    alone = [model.recommend([history], k=4)[0] for history in HISTORIES]
    for lists in (in_batches, alone):
        assert [ids(items) for items in lists] == [ids(items) for items in together]
    assert model.recommend([], k=4) == []


@pytest.mark.parametrize(
    ("history", "k", "message"),
    [(["i0", "nope"], 3, "item 'nope' is not in"), ([], 3, "a history is empty"), (["i0"], 0, "0 items cannot")],
)
def test_bad_requests_are_one_error(model: Recommender, history: list[str], k: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        model.recommend([["i1"], history], k=k)


def test_a_model_without_a_table_saves_loads_and_says_so(tmp_path: Path) -> None:
    model = build()
    model.item_table = None
    model.save_pretrained(tmp_path / "model")
    loaded = Recommender.from_pretrained(tmp_path / "model")
    with pytest.raises(UserError, match="no item table"):
        loaded.recommend([["i0"]])


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "items.parquet", "item_embeddings.safetensors"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "noise"])
def test_damage_is_one_error_that_names_the_folder(saved: Path, name: str, damage: str) -> None:
    path = saved / name
    content = path.read_bytes()
    path.write_bytes({"truncated": content[: len(content) // 2], "empty": b"", "noise": b"\x93" * 512}[damage])
    with pytest.raises(UserError, match=str(saved)) as error:
        Recommender.from_pretrained(saved)
    assert len(str(error.value)) < 1000


def _other_weights(folder: Path) -> None:
    build(method="frozen").save_pretrained(folder.parent / "other")
    shutil.copy(folder.parent / "other" / "model.safetensors", folder)


def _no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def _no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _no_embeddings(folder: Path) -> None:
    (folder / "item_embeddings.safetensors").unlink()


def _config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def _other_embeddings(folder: Path) -> None:
    table = build().table
    ItemTable(table.item_ids, table.titles, torch.zeros(N, 3), table.recommendable).save(folder)


def _fewer_embeddings(folder: Path) -> None:
    table = build().table
    ItemTable(table.item_ids[1:], table.titles[1:], table.embeddings[1:], table.recommendable[1:]).save(folder.parent)
    shutil.copy(folder.parent / "item_embeddings.safetensors", folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_other_weights, "cannot be read.*[Mm]issing key"),
        (_no_config, "config.json is missing"),
        (_no_weights, "cannot be read"),
        (_no_embeddings, "item table cannot be read"),
        (_other_embeddings, "not of the model's width 8"),
        (_fewer_embeddings, "differ in length"),
        (lambda folder: _config(folder, format_version=2), "model format 2 is not known.*upgrade"),
        (lambda folder: _config(folder, similarity="euclid"), "cannot be read.*similarity"),
        (lambda folder: _config(folder, surprise=1), "cannot be read.*surprise"),
        (lambda folder: _config(folder, details=7), "cannot be read"),
        (lambda folder: (folder / "config.json").write_text("[]"), "not a recommender's"),
        (lambda folder: (folder / "config.json").write_text('{"a": 1}'), "not a recommender's"),
    ],
)
def test_what_does_not_belong_together_is_one_error(
    saved: Path, change: Callable[[Path], object], message: str
) -> None:
    change(saved)
    with pytest.raises(UserError, match=f"(?s){message}"):
        Recommender.from_pretrained(saved)


def test_a_folder_that_is_none_is_said_quietly(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "empty").mkdir()
    hub = logging.getLogger("huggingface_hub")
    hub.propagate = True
    with caplog.at_level(logging.WARNING):
        for name in (tmp_path / "empty", "./no-such-folder"):
            with pytest.raises(UserError):
                Recommender.from_pretrained(name)
    assert caplog.records == []


@settings(deadline=None, max_examples=30)
@given(rows=st.lists(st.integers(0, N - 1), min_size=1, max_size=LENGTH), whole=st.booleans())
def test_padding_changes_no_user_state(rows: list[int], whole: bool) -> None:
    model = _models()["cosine" if whole else "dot"]
    items = model.table.embeddings
    short = torch.tensor([[row + 1 for row in rows]])
    padded = torch.cat([torch.zeros(1, LENGTH - len(rows), dtype=torch.long), short], dim=1)
    with torch.no_grad():
        one, other = model.user_states(items, short), model.user_states(items, padded)
    torch.testing.assert_close(one[0], other[0, LENGTH - len(rows) :], atol=1e-5, rtol=1e-5)


@settings(deadline=None, max_examples=30)
@given(
    slots=st.lists(st.integers(1, N), min_size=LENGTH, max_size=LENGTH),
    other=st.lists(st.integers(1, N), min_size=LENGTH, max_size=LENGTH),
    cut=st.integers(1, LENGTH - 1),
)
def test_later_items_do_not_change_earlier_states(slots: list[int], other: list[int], cut: int) -> None:
    model = _models()["dot"]
    mixed = slots[:cut] + other[cut:]
    with torch.no_grad():
        states = model.user_states(model.table.embeddings, torch.tensor([slots, mixed]))
    torch.testing.assert_close(states[0, :cut], states[1, :cut], atol=1e-6, rtol=1e-6)
    if slots[cut] != mixed[cut]:
        assert not torch.allclose(states[0, cut], states[1, cut], atol=1e-4)


def test_neighbours_in_the_batch_do_not_matter() -> None:
    model = _models()["cosine"]
    slots = torch.tensor([[0, 1, 2, 3], [0, 0, 0, 7], [4, 5, 6, 7]])
    with torch.no_grad():
        together = model.user_states(model.table.embeddings, slots)
        alone = torch.cat([model.user_states(model.table.embeddings, line[None]) for line in slots])
    real = slots > 0
    torch.testing.assert_close(together[real], alone[real], atol=1e-5, rtol=1e-5)


@given(st.lists(st.lists(st.integers(1, N), min_size=1, max_size=LENGTH), min_size=1, max_size=5))
@settings(max_examples=25, deadline=None)
def test_the_states_at_the_end_are_the_last_of_those_at_each_position(histories: list[list[int]]) -> None:
    slots = torch.tensor([[0] * (LENGTH - len(history)) + history for history in histories])
    for similarity in ("cosine", "dot"):
        model = _models()[similarity]
        items = model.table.embeddings
        with torch.inference_mode():
            at_end, everywhere = model.states_at_end(items, slots), model.user_states(items, slots)
        torch.testing.assert_close(at_end, everywhere[:, -1], atol=1e-5, rtol=1e-5)


def test_a_chunk_beyond_what_the_cache_holds_changes_no_embedding(model: Recommender) -> None:
    source = RandomSource({"image": (2, 6), "text": (3, 8)}, 2 * CPU_CHUNK + 3, seed=3)
    together = model.item_embeddings(source.gather(torch.arange(source.n_items)), torch.arange(source.n_items))
    torch.testing.assert_close(model.embed_items(source, chunk=10 * CPU_CHUNK), together, atol=1e-5, rtol=1e-5)


def test_cosine_scores_are_bounded_by_the_scale() -> None:
    model = _models()["cosine"]
    assert model.log_scale is not None
    scale = float(model.log_scale.detach().exp())
    torch.testing.assert_close(model.table.embeddings.norm(dim=1), torch.ones(N))
    scores = model.score([[row] for row in range(N)])
    assert float(scores.abs().max()) <= scale + 1e-3


_BUILT: dict[str, Recommender] = {}


def _models() -> dict[str, Recommender]:
    if not _BUILT:
        _BUILT.update({name: build(name) for name in ("cosine", "dot")})
    return _BUILT


def test_a_trained_model_survives_saving_too(trained: TrainOutcome) -> None:
    loaded = Recommender.from_pretrained(trained.folder)
    histories = [["i1", "i2"], ["i20", "i7"]]
    assert loaded.recommend(histories) == trained.model.recommend(histories)
    assert {path.name for path in trained.folder.iterdir()} == FILES
    for name, value in trained.model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)


def test_histories_longer_than_the_model_reads_are_refused() -> None:
    model = build()
    items = torch.randn(N, 8)
    with pytest.raises(ValueError, match="at most 4"):
        model.user_states(items, torch.ones(1, LENGTH + 1, dtype=torch.long))


def test_a_smaller_catalogue_is_refused_where_items_have_vectors_of_their_own() -> None:
    model = build()
    with pytest.raises(UserError, match="11 items, the model learned 12"):
        model.embed_items(RandomSource({"image": (2, 6), "text": (3, 8)}, N - 1))


def test_items_beyond_those_learned_have_no_vector_of_their_own() -> None:
    model = build()
    assert model.own is not None
    source = RandomSource({"image": (2, 6), "text": (3, 8)}, N + 2)
    with torch.no_grad():
        model.own.table.weight.fill_(0.5)
    with_own = model.embed_items(source)
    as_new = model.embed_items(source, catalogue_rows=torch.full((N + 2,), N + 7))
    as_first = model.embed_items(source, torch.tensor([N, 3]), catalogue_rows=torch.tensor([0, 3]))
    with torch.no_grad():
        model.own.table.weight.fill_(0.0)
    content = model.embed_items(source)
    torch.testing.assert_close(with_own[N:], content[N:])
    torch.testing.assert_close(as_new, content)
    assert (with_own[:N] - content[:N]).abs().max() > 0.01
    torch.testing.assert_close(as_first[1], with_own[3])
    assert (as_first[0] - content[N]).abs().max() > 0.01
