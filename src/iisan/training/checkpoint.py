"""Training checkpoints: one safetensors file with all that an exact continuation needs, replaced atomically."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from iisan.errors import UserError, unwritable
from iisan.models.recommender import Recommender
from iisan.states.atomic import replacing
from iisan.states.tensor_file import save_tensors
from iisan.training.batch_adam import BatchAdam
from iisan.training.trained_state import load_trained_state, trained_state
from iisan.training.weight_average import WeightAverage

FORMAT_VERSION = 1


@dataclass
class Position:
    """Where training stands.

    Attributes:
        epoch: Epoch under way, from 0.
        step: Steps of it that are done.
        loss_sum: Sum of their losses, each weighted by its predictions.
        predictions: Number of those predictions.
        seconds: Time spent on them.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    predictions: int = 0
    seconds: float = 0.0


def save_checkpoint(
    path: Path,
    model: Recommender,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None,
    position: Position,
    extra: dict[str, Any],
    items: BatchAdam | None = None,
) -> None:
    """Writes weights, optimiser moments, random state and `position`.

    Args:
        path: The file; an older one is replaced only when the new one is complete.
        model: Its parameters and buffers are kept, but for what is frozen in encoders that are tuned with it.
        optimizer: Its state is kept.
        average: Likewise, where there is one.
        position: Where training stands.
        extra: JSON-able facts: history of metrics, early-stop state, configuration.
        items: What moves the items' own vectors, where that is not the optimiser.
    """
    tensors = {f"model.{name}": value for name, value in trained_state(model).items()}
    state = optimizer.state_dict()
    for number, moments in state["state"].items():
        for name, value in moments.items():
            tensors[f"optimizer.{number}.{name}"] = torch.as_tensor(value)
    if average is not None:
        tensors |= {f"average.{name}": value for name, value in average.state().items()}
    if items is not None:
        tensors |= {f"items.{name}": value for name, value in items.state().items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if model.device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(model.device)
    facts = {"format_version": FORMAT_VERSION, "position": vars(position), **extra}
    write_atomically(path, tensors, facts)


def write_atomically(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Writes a safetensors file with JSON facts in its header, so that a reader sees the old one or the new one.

    Raises:
        UserError: It cannot be written; the old one stays.
    """
    try:
        with replacing(path) as temporary:
            save_tensors(tensors, temporary, {"facts": json.dumps(facts)})
    except OSError as error:
        stays = "the same command then goes on where the last checkpoint was"
        raise unwritable(path, error, what="the checkpoint", stays=stays) from error


def load_checkpoint(
    path: Path,
    model: Recommender,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None,
    items: BatchAdam | None = None,
) -> tuple[Position, dict[str, Any]]:
    """Puts model, optimisers, average and random state back to where a checkpoint was written.

    Returns:
        The position and the facts that were given to :func:`save_checkpoint`.

    Raises:
        UserError: The file is damaged, or does not fit the model.
    """
    facts, tensors = _read(path)
    load_weights(model, tensors, path)
    try:
        position = Position(**facts["position"])
        _load_moments(optimizer, tensors)
        if average is not None:
            average.load(_under("average.", tensors))
        if items is not None:
            items.load(_under("items.", tensors))
        torch.set_rng_state(tensors["random.cpu"])
        if "random.cuda" in tensors and model.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"], model.device)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise _damaged(path, error) from error
    return position, facts


def _load_moments(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, number, key = name.split(".", 2)
            moments.setdefault(int(number), {})[key] = value
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})


def save_weights(path: Path, model: Recommender, facts: dict[str, Any]) -> None:
    """Writes the model's weights alone (the best ones so far)."""
    write_atomically(
        path,
        {f"model.{name}": value for name, value in trained_state(model).items()},
        {"format_version": FORMAT_VERSION, **facts},
    )


def load_best(path: Path, model: Recommender) -> dict[str, Any]:
    """Reads what :func:`save_weights` wrote into `model` and returns the facts."""
    facts, tensors = _read(path)
    load_weights(model, tensors, path)
    return facts


def load_weights(model: Recommender, tensors: dict[str, Tensor], path: Path) -> None:
    """Puts the ``model.*`` tensors of a checkpoint into `model`.

    Raises:
        UserError: They do not fit.
    """
    try:
        load_trained_state(model, _under("model.", tensors))
    except RuntimeError as error:
        raise UserError(
            "the checkpoint does not fit this model or dataset",
            where=str(path),
            how="train into another run folder, or with --overwrite",
        ) from error


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise _damaged(path, error) from error
    if facts.get("format_version") != FORMAT_VERSION:
        raise UserError(
            f"checkpoint format {facts.get('format_version')} is not known", where=str(path), how="upgrade iisan"
        )
    return facts, tensors


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(
        f"the checkpoint is damaged ({error})", where=str(path), how="start the run again with --overwrite"
    )
