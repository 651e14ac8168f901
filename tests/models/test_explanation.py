"""Explanations: what is left out is left out of the whole model, and the pieces sum to the score."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from iisan.errors import UserError
from iisan.models.config import (
    FrozenConfig,
    ItemIdConfig,
    ModalityConfig,
    RecommenderConfig,
    SasrecConfig,
    SideNetworkConfig,
    WhiteningConfig,
)
from iisan.models.explanation import places as places_module
from iisan.models.explanation.coalitions import MOST_PARTS, OWN_VECTOR
from iisan.models.explanation.decomposition import decompose
from iisan.models.explanation.explain import explain
from iisan.models.explanation.explanation import ExplainedItem, Explanation
from iisan.models.explanation.histories import leave_each_out
from iisan.models.item_table import ItemTable
from iisan.models.recommender import Recommender
from iisan.states.sources import ItemStates
from tests.random_source import RandomSource

N, DIM, LENGTH = 14, 8, 5
SHAPES = {"audio": (1, 5), "image": (2, 6), "text": (3, 8)}


@dataclass(frozen=True)
class Case:
    model: Recommender
    source: RandomSource

    def states_of(self, item_ids: Sequence[str]) -> Mapping[str, ItemStates]:
        return self.source.gather(torch.tensor([int(one[1:]) for one in item_ids]))

    def explain(self, history: Sequence[int], items: Sequence[int] | None = None, k: int = 3) -> Explanation:
        names = None if items is None else [f"i{row}" for row in items]
        return explain(self.model, [f"i{row}" for row in history], names, k=k, states_of=self.states_of)


def make(
    kind: str = "iisan",
    names: Sequence[str] = ("image", "text"),
    similarity: str = "cosine",
    own: bool = True,
    whiten: bool = False,
    missing: Mapping[str, Sequence[int]] | None = None,
    seed: int = 0,
) -> Case:
    """A model of random weights, none of them at its start, with the item table of random states."""
    shapes = {name: SHAPES[name] for name in names}
    encoders = {
        "iisan": lambda: SideNetworkConfig(
            modalities={name: ModalityConfig(n_taps=t, width=w, bottleneck=4) for name, (t, w) in shapes.items()},
            inter_bottleneck=4,
            dim=DIM,
        ),
        "frozen": lambda: FrozenConfig(widths={name: width for name, (_, width) in shapes.items()}, dim=DIM),
        "id": lambda: ItemIdConfig(n_items=N, dim=DIM),
    }
    config = RecommenderConfig(
        item_encoder=encoders[kind](),
        sequence_encoder=SasrecConfig(dim=DIM, max_length=LENGTH, n_layers=1),
        own_items=N if own else None,
        whitening={name: WhiteningConfig(n_taps=t, width=w) for name, (t, w) in shapes.items()} if whiten else {},
        similarity=similarity,  # type: ignore[arg-type]
    )
    torch.manual_seed(seed)
    model = Recommender(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name != "log_scale":
                parameter.copy_(torch.randn_like(parameter) * 0.4)
    source = RandomSource(shapes, N, seed=seed, missing={k: v for k, v in (missing or {}).items() if k in shapes})
    model.fit_whitening(source)
    offered = torch.ones(N, dtype=torch.bool)
    offered[1] = False
    ids = [f"i{row}" for row in range(N)]
    model.item_table = ItemTable(ids, [None, *ids[1:]], model.embed_items(source).clone(), offered)
    return Case(model, source)


def subset_embedding(case: Case, row: int, kept: set[str]) -> Tensor:
    """One item with some parts only, on its own: states cut out by hand and not by masks of a batch."""
    states = {}
    for name, one in case.source.gather(torch.tensor([row])).items():
        has = name in kept and (one.available is None or bool(one.available[0]))
        taps = one.taps if has else [torch.zeros_like(tap) for tap in one.taps]
        states[name] = ItemStates(taps, torch.tensor([has]))
    with torch.no_grad():
        if OWN_VECTOR in kept or case.model.own is None:
            return case.model.item_embeddings(states, torch.tensor([row]))[0]
        own, case.model.own = case.model.own, None
        try:
            return case.model.item_embeddings(states, torch.tensor([row]))[0]
        finally:
            case.model.own = own


def state_after(case: Case, embeddings: Sequence[Tensor]) -> Tensor:
    with torch.no_grad():
        return case.model.user_states(torch.stack(list(embeddings)), torch.arange(1, len(embeddings) + 1)[None])[0, -1]


def place_of(scores: Tensor, row: int, score: float, seen: Sequence[int]) -> int:
    others = [scores[other] for other in range(N) if other not in {row, 1, *seen}]
    return 1 + sum(float(other) > score for other in others)


@settings(max_examples=60, deadline=None)
@given(n_parts=st.integers(0, 4), seed=st.integers(0, 10_000))
def test_decompositions_sum_up_and_are_those_of_all_orders(n_parts: int, seed: int) -> None:
    values = torch.randn(1 << n_parts, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = decompose(values)
    assert torch.allclose(found.base + found.alone.sum(0) + found.interplay, values[-1])
    assert torch.allclose(found.base + found.shapley.sum(0), values[-1])
    for part in range(n_parts):
        steps = []
        for order in itertools.permutations(range(n_parts)):
            before = sum(1 << other for other in order[: order.index(part)])
            steps.append(values[before | 1 << part] - values[before])
        assert torch.allclose(found.shapley[part], torch.stack(steps).mean(0))
        assert torch.equal(found.alone[part], values[1 << part] - values[0])
        assert torch.equal(found.without[part], values[(len(values) - 1) & ~(1 << part)])


def test_interplay_of_two_parts_is_what_only_both_bring() -> None:
    found = decompose(torch.tensor([[1.0], [3.0], [4.0], [5.0]]))
    assert found.alone.flatten().tolist() == [2.0, 3.0]
    assert found.interplay.tolist() == [-1.0]
    assert found.shapley.flatten().tolist() == [1.5, 2.5]
    with pytest.raises(ValueError, match="3 values are not those of all subsets"):
        decompose(torch.zeros(3, 1))


def test_each_item_is_left_out_and_those_before_it_move_up() -> None:
    assert leave_each_out(torch.tensor([4, 2, 9])).tolist() == [[4, 2, 9], [0, 2, 9], [0, 4, 9], [0, 4, 2]]
    assert leave_each_out(torch.tensor([7])).tolist() == [[7]]


cases = st.builds(
    make,
    kind=st.sampled_from(["iisan", "frozen"]),
    names=st.sampled_from([("text",), ("image", "text"), ("audio", "image", "text")]),
    similarity=st.sampled_from(["cosine", "dot"]),
    own=st.booleans(),
    whiten=st.booleans(),
    missing=st.sampled_from([{}, {"image": [2, 5], "text": [5, 6]}]),
    seed=st.integers(0, 1000),
)
histories = st.lists(st.integers(0, N - 1), min_size=1, max_size=LENGTH + 2)


@settings(max_examples=25, deadline=None)
@given(case=cases, history=histories, items=st.lists(st.integers(0, N - 1), min_size=1, max_size=3, unique=True))
def test_every_number_is_that_of_the_slow_way(case: Case, history: list[int], items: list[int]) -> None:
    found = case.explain(history, items)
    read = history[-LENGTH:]
    names = [*case.source.modalities, *([OWN_VECTOR] if case.model.own is not None else [])]
    scores = case.model.score([read])[0]
    state = state_after(case, [subset_embedding(case, row, set(names)) for row in read])
    assert found.history == [f"i{row}" for row in read]
    assert found.n_unread == len(history) - len(read)
    offered = [row for row in range(N) if row != 1 and row not in history]
    assert found.n_candidates == len(offered)
    assert found.mean_score == pytest.approx(float(scores[offered].mean()), abs=1e-4)
    for row, item in zip(items, found.items, strict=True):
        assert item.item_id == f"i{row}"
        assert item.score == pytest.approx(float(scores[row]), abs=1e-4)
        check_sums(item)
        check_influences(case, item, row, history, scores)
        assert item.of_item is not None
        assert item.everywhere is not None
        assert [part.name for part in item.of_item.parts] == names
        for part, everywhere in zip(item.of_item.parts, item.everywhere.parts, strict=True):
            alone, rest = {part.name}, set(names) - {part.name}
            of_item = {
                kept: float(subset_embedding(case, row, set(kept)) @ state) for kept in map(tuple, (alone, rest))
            }
            nothing = float(subset_embedding(case, row, set()) @ state)
            assert item.of_item.base == pytest.approx(nothing, abs=1e-4)
            assert part.alone == pytest.approx(of_item[tuple(alone)] - nothing, abs=1e-4)
            assert part.without == pytest.approx(of_item[tuple(rest)], abs=1e-4)
            cut = state_after(case, [subset_embedding(case, one, rest) for one in read])
            assert everywhere.without == pytest.approx(float(subset_embedding(case, row, rest) @ cut), abs=1e-4)
            assert everywhere.place_without is None


def check_sums(item: ExplainedItem) -> None:
    for parts in (item.of_item, item.everywhere):
        assert parts is not None
        assert parts.base + sum(one.alone for one in parts.parts) + parts.interplay == pytest.approx(
            item.score, abs=1e-4
        )
        assert parts.base + sum(one.shapley for one in parts.parts) == pytest.approx(item.score, abs=1e-4)
        shares = sum(one.share for one in parts.parts) + parts.interplay_share
        assert shares == pytest.approx(1) or all(one.alone == 0 for one in parts.parts)
        if len(parts.parts) == 1:
            assert parts.interplay == pytest.approx(0, abs=1e-9)


def check_influences(case: Case, item: ExplainedItem, row: int, history: list[int], scores: Tensor) -> None:
    read = history[-LENGTH:]
    assert item.place == place_of(scores, row, float(scores[row]), history)
    assert [one.position for one in item.history] == list(range(1, len(read) + 1))
    for gap, one in enumerate(item.history):
        assert one.item_id == f"i{read[gap]}"
        rest = read[:gap] + read[gap + 1 :]
        if not rest:
            assert (one.drop, one.without, one.place_without) == (None, None, None)
            continue
        others = case.model.score([rest])[0]
        assert one.without == pytest.approx(float(others[row]), abs=1e-4)
        assert one.drop == pytest.approx(float(scores[row] - others[row]), abs=2e-4)
        assert one.place_without == place_of(others, row, float(others[row]), history)


def test_a_part_that_an_item_lacks_adds_exactly_nothing() -> None:
    case = make(names=("audio", "image", "text"), missing={"image": [3]})
    (item,) = case.explain([0, 2], [3]).items
    assert item.of_item is not None
    audio, image, text, own = item.of_item.parts
    assert (image.present, image.alone, image.shapley, image.share) == (False, 0.0, 0.0, 0.0)
    assert image.without == pytest.approx(item.score, abs=1e-5)
    assert image.place_without == item.place
    assert all(part.present and part.alone != 0 for part in (audio, text, own))
    assert own.kind == "own"


def test_places_do_not_depend_on_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    case = make()
    whole = case.explain([0, 2, 4], [5, 1, 2])
    monkeypatch.setattr(places_module, "BLOCK", 3)
    found = case.explain([0, 2, 4], [5, 1, 2])
    assert found.mean_score == pytest.approx(whole.mean_score)
    assert replace(found, mean_score=whole.mean_score) == whole
    parts = [part for item in whole.items if item.of_item for part in item.of_item.parts]
    scores = case.model.score([[0, 2, 4]])[0]
    rows = [row for row in (5, 1, 2) for _ in range(3)]
    for row, part in zip(rows, parts, strict=True):
        assert part.place_without == place_of(scores, row, part.without, [0, 2, 4])


def test_items_that_are_the_same_share_a_place() -> None:
    case = make()
    table = case.model.item_table
    assert table is not None
    best = case.explain([0, 2], k=1).items[0].item_id
    table.embeddings[[6, 7, 8]] = table.embeddings[table.row(best)].clone()
    found = explain(case.model, ["i0", "i2"], [best, "i6", "i7", "i8"])
    assert [item.place for item in found.items] == [1, 1, 1, 1]


def test_the_top_items_are_explained_unless_others_are_named() -> None:
    case = make()
    best = case.model.recommend([["i0", "i2"]], k=4)[0]
    found = case.explain([0, 2], k=4)
    assert [item.item_id for item in found.items] == [one.item_id for one in best]
    assert [item.score for item in found.items] == pytest.approx([one.score for one in best], rel=1e-5)
    assert [item.place for item in found.items] == [1, 2, 3, 4]


def test_ids_and_a_model_without_states_are_explained_by_the_history() -> None:
    for case, states in ((make(kind="id", own=False), True), (make(), False)):
        ids = ["i0", "i2", "i4"]
        found = explain(case.model, ids, k=2, states_of=case.states_of if states else None)
        assert all(item.of_item is None and item.everywhere is None for item in found.items)
        assert all(one.drop is not None for item in found.items for one in item.history)
        assert found.unknown_content == []


def test_items_known_by_other_content_are_taken_whole() -> None:
    case = make()
    assert case.model.item_table is not None
    case.model.item_table.embeddings[[2, 5]] += 0.5
    found = case.explain([0, 2], [5, 6])
    assert found.unknown_content == ["i2", "i5"]
    assert found.items[0].of_item is None
    assert found.items[0].score == pytest.approx(float(case.model.score([[0, 2]])[0, 5]), rel=1e-5)
    assert found.items[1].of_item is not None
    check_sums(found.items[1])


def test_an_item_that_came_after_training_has_no_vector_of_its_own() -> None:
    case = make()
    grown = RandomSource(SHAPES, N + 1, seed=3)
    states = {name: grown.gather(torch.tensor([N]))[name] for name in ("image", "text")}
    table = case.model.item_table
    assert table is not None
    with torch.no_grad():
        new = case.model.item_embeddings(states, torch.tensor([N]))
    case.model.item_table = ItemTable(
        [*table.item_ids, "new"],
        [*table.titles, None],
        torch.cat([table.embeddings, new]),
        torch.ones(N + 1, dtype=torch.bool),
    )
    found = explain(case.model, ["i0", "i2"], ["new"], states_of=lambda ids: joined(case, ids, states))
    assert found.items[0].of_item is not None
    own = found.items[0].of_item.parts[-1]
    assert (own.present, own.alone, own.shapley) == (False, 0.0, 0.0)


def joined(case: Case, ids: Sequence[str], states: Mapping[str, ItemStates]) -> dict[str, ItemStates]:
    known = case.states_of(ids[:-1])
    return {
        name: replace(one, taps=[torch.cat([a, b]) for a, b in zip(one.taps, states[name].taps, strict=True)])
        for name, one in known.items()
    }


def test_what_cannot_be_explained_says_so() -> None:
    case = make()
    with pytest.raises(UserError, match="'ghost' is not in the model's catalogue"):
        explain(case.model, ["i0"], ["ghost"])
    with pytest.raises(UserError, match="a history is empty"):
        explain(case.model, [])
    many = {f"m{number}": ModalityConfig(n_taps=1, width=2) for number in range(MOST_PARTS + 1)}
    config = RecommenderConfig(
        item_encoder=SideNetworkConfig(modalities=many, dim=DIM),
        sequence_encoder=SasrecConfig(dim=DIM, max_length=LENGTH),
    )
    model = Recommender(config)
    model.item_table = case.model.item_table
    with pytest.raises(UserError, match="11 modalities are too many"):
        explain(model, ["i0"], states_of=case.states_of)


def test_the_model_is_left_as_it_was() -> None:
    case = make()
    before = {name: value.clone() for name, value in case.model.state_dict().items()}
    case.model.train()
    first = case.explain([0, 2, 4])
    assert case.model.training
    assert case.explain([0, 2, 4]) == first
    assert all(torch.equal(value, before[name]) for name, value in case.model.state_dict().items())
    assert math.isfinite(first.mean_score)
