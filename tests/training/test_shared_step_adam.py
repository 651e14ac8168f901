"""One counter of steps for all parameters moves them as torch's own Adam does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from iisan.training.shared_step_adam import SharedStepAdam

SHAPES = [(5, 3), (3,), (), (2, 4, 2)]
Groups = list[dict[str, object]]


def groups_of(parameters: list[nn.Parameter]) -> Groups:
    return [
        {"params": parameters[:2], "lr": 1e-2, "weight_decay": 0.1},
        {"params": parameters[2:], "lr": 3e-3, "weight_decay": 0.0},
    ]


def parameters_of(seed: int) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def torchs_own(groups: Groups, decoupled: bool) -> torch.optim.Optimizer:
    return (torch.optim.AdamW if decoupled else torch.optim.Adam)(groups, fused=True)


def take_step(
    optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], number: int, absent: frozenset[int]
) -> None:
    generator = torch.Generator().manual_seed(1000 + number)
    for place, parameter in enumerate(parameters):
        gradient = torch.randn(parameter.shape, generator=generator)
        parameter.grad = None if place in absent else gradient
    optimizer.step()


def assert_same(ours: torch.optim.Optimizer, theirs: torch.optim.Optimizer) -> None:
    states, expected = ours.state_dict()["state"], theirs.state_dict()["state"]
    assert states.keys() == expected.keys()
    for number, moments in expected.items():
        assert states[number].keys() == moments.keys()
        for name, value in moments.items():
            assert torch.equal(states[number][name], value), (number, name)


absences = st.lists(st.frozensets(st.integers(0, len(SHAPES) - 1), max_size=2) | st.just(frozenset()), max_size=8)


@settings(max_examples=60, deadline=None)
@given(absent=absences, decoupled=st.booleans(), save_at=st.integers(0, 8), resumed_by_torch=st.booleans())
def test_every_step_is_that_of_torch(
    absent: list[frozenset[int]], decoupled: bool, save_at: int, resumed_by_torch: bool
) -> None:
    mine, reference = parameters_of(0), parameters_of(0)
    ours: torch.optim.Optimizer = SharedStepAdam(groups_of(mine), decoupled)
    theirs = torchs_own(groups_of(reference), decoupled)
    for number, places in enumerate(absent):
        if number == save_at:  # gone on with by another optimiser, from what this one saved
            kind: Callable[[Groups, bool], torch.optim.Optimizer] = torchs_own if resumed_by_torch else SharedStepAdam
            saved, ours = ours.state_dict(), kind(groups_of(mine), decoupled)
            ours.load_state_dict(saved)
        take_step(ours, mine, number, places)
        take_step(theirs, reference, number, places)
        assert all(torch.equal(a, b) for a, b in zip(mine, reference, strict=True))
    assert_same(ours, theirs)


@pytest.mark.parametrize("decoupled", [False, True])
def test_a_new_rate_and_a_loaded_state_count_from_the_next_step(decoupled: bool) -> None:
    mine, reference = parameters_of(0), parameters_of(0)
    ours, theirs = SharedStepAdam(groups_of(mine), decoupled), torchs_own(groups_of(reference), decoupled)
    other = torchs_own(groups_of(parameters_of(1)), decoupled)
    for number in range(12):
        if number == 4:
            for optimizer in (ours, theirs):
                optimizer.param_groups[0]["lr"] = 0.5
        if number == 8:
            for optimizer in (ours, theirs):
                optimizer.load_state_dict(other.state_dict())
        for optimizer, parameters in ((ours, mine), (theirs, reference)):
            take_step(optimizer, parameters, number, frozenset())
        assert all(torch.equal(a, b) for a, b in zip(mine, reference, strict=True)), number
    assert_same(ours, theirs)


def test_a_group_that_is_added_counts_its_own_steps() -> None:
    mine, reference = parameters_of(0), parameters_of(0)
    ours, theirs = SharedStepAdam(groups_of(mine)[:1], decoupled=True), torchs_own(groups_of(reference)[:1], True)
    for number in range(6):
        if number == 3:
            ours.add_param_group(groups_of(mine)[1])
            theirs.add_param_group(groups_of(reference)[1])
        take_step(ours, mine, number, frozenset())
        take_step(theirs, reference, number, frozenset())
    assert all(torch.equal(a, b) for a, b in zip(mine, reference, strict=True))
    assert_same(ours, theirs)


def test_torchs_own_way_is_taken_only_to_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    original = torch.optim.Adam.step

    def counted(self: torch.optim.Adam, closure: None = None) -> object:
        taken.append(1)
        return original(self, closure)

    monkeypatch.setattr(torch.optim.Adam, "step", counted)
    parameters = parameters_of(0)
    optimizer = SharedStepAdam(groups_of(parameters), decoupled=True)
    for number in range(5):
        take_step(optimizer, parameters, number, frozenset())
    assert len(taken) == 1
