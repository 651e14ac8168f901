"""The golden numbers of the reference implementation, reproduced to 1e-4 (docs/design.md, numeric contract)."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from iisan.evaluation.ranking import rank_targets
from iisan.models.recommender import Recommender
from iisan.models.reference_checkpoint import from_reference, reference_config, reference_taps
from iisan.states.sources import ItemStates
from iisan.training.batch_items import BatchItems
from iisan.training.losses.in_batch import in_batch_loss
from iisan.training.losses.own_items import own_items

FOLDER = Path(os.environ.get("IISAN_PARITY_DIR", Path(__file__).parents[2] / "shared" / "parity"))
FILES = sorted(FOLDER.glob("*.safetensors"))
TOLERANCE = 1e-4

pytestmark = pytest.mark.skipif(not FILES, reason=f"no golden files in {FOLDER} (set IISAN_PARITY_DIR)")


@dataclass
class Golden:
    arguments: dict[str, str]
    weights: dict[str, Tensor]
    grads: dict[str, Tensor]
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


def read(path: Path) -> Golden:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        arguments = file.metadata()

    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

    return Golden(arguments, part("weight."), part("grad."), part("input."), part("output."))


@pytest.fixture(scope="module", params=FILES, ids=lambda path: path.stem)
def golden(request: pytest.FixtureRequest) -> Golden:
    return read(request.param)


@pytest.fixture(scope="module")
def model(golden: Golden) -> Recommender:
    model = Recommender(reference_config(golden.weights, golden.arguments))
    model.load_state_dict(from_reference(golden.weights, model.config.item_encoder.dim))
    return model.eval()


@pytest.fixture(scope="module")
def states(golden: Golden) -> dict[str, ItemStates]:
    taps = reference_taps(golden.weights, golden.arguments)
    return {
        name: ItemStates([golden.inputs[f"{name}_hidden_states"][:, tap] for tap in layers])
        for name, layers in taps.items()
    }


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours.detach(), theirs, atol=TOLERANCE, rtol=TOLERANCE)


def test_embeddings_of_every_tower(golden: Golden, model: Recommender, states: dict[str, ItemStates]) -> None:
    for name, embedding in model.item_encoder.tower_embeddings(states).items():
        close(embedding, golden.outputs[f"{name}_embedding"])
    close(model.item_encoder(states), golden.outputs["item_embedding"])


def test_user_states_at_real_positions(golden: Golden, model: Recommender, states: dict[str, ItemStates]) -> None:
    items = model.item_encoder(states)
    ids = golden.inputs["item_ids"]
    real = golden.inputs["input_mask"].bool()
    user_states = model.sequence_encoder(items[ids[:, :-1]], real)
    close(user_states[real], golden.outputs["user_states"][real])


def test_loss_and_gradients(golden: Golden, model: Recommender, states: dict[str, ItemStates]) -> None:
    batch = BatchItems.of(golden.inputs["item_ids"])
    rows = batch.rows + 1  # row 0 of the file is the padding item
    distinct = {name: ItemStates([tap[rows] for tap in state.taps]) for name, state in states.items()}
    model.zero_grad()
    items, user_states = model(distinct, batch.rows, batch.inputs)
    owners, positions = batch.predicted.nonzero(as_tuple=True)
    targets = batch.slots[:, 1:][owners, positions] - 1
    loss = in_batch_loss(
        user_states[owners, positions],
        targets,
        items,
        golden.inputs["item_popularity"][rows].log(),
        batch.counts,
        own_items(batch.slots, owners, targets),
    )
    close(loss.reshape(1), golden.outputs["loss"].reshape(1))
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    expected = from_reference(golden.grads, model.config.item_encoder.dim)
    # The importer needs whole attention blocks and heads to name them; what the file gives is compared, all of it.
    compared = 0
    for name, gradient in expected.items():
        close(gradients[name], gradient)
        compared += gradient.numel()
    assert compared == sum(gradient.numel() for gradient in golden.grads.values())


def test_ranks(golden: Golden, model: Recommender, states: dict[str, ItemStates]) -> None:
    items = model.item_encoder(states).detach()[1:]
    ids = golden.inputs["item_ids"]
    history, targets = ids[:, :-1], ids[:, -1]
    last = model.user_states(items, history)[:, -1].detach()
    owners, positions = (history > 0).nonzero(as_tuple=True)
    excluded = (owners, history[owners, positions] - 1)
    ranks = rank_targets(last, items, targets - 1, torch.ones(len(items), dtype=torch.bool), excluded).paper
    theirs = golden.outputs["ranks"]
    assert theirs.tolist() == json.loads(golden.arguments["ranks"])
    for user, target in enumerate(targets.tolist()):
        seen = set(history[user].tolist()) - {0}
        if target in seen:  # all of the history ties at minus infinity: any of the last places is the same miss
            assert ranks[user] == len(items)
            assert int(theirs[user]) > len(items) - len(seen)
        else:
            assert ranks[user] == theirs[user]
