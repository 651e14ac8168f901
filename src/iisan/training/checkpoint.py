"""Training checkpoints: one safetensors file with all that an exact continuation needs, replaced atomically."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from iisan.errors import UserError
from iisan.models.recommender import Recommender

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
    path: Path, model: Recommender, optimizer: torch.optim.Optimizer, position: Position, extra: dict[str, Any]
) -> None:
    """Writes weights, optimiser moments, random state and `position`.

    Args:
        path: The file; an older one is replaced only when the new one is complete.
        model: Its parameters and buffers are kept.
        optimizer: Its state is kept.
        position: Where training stands.
        extra: JSON-able facts: history of metrics, early-stop state, configuration.
    """
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    state = optimizer.state_dict()
    for number, moments in state["state"].items():
        for name, value in moments.items():
            tensors[f"optimizer.{number}.{name}"] = torch.as_tensor(value)
    tensors["random.cpu"] = torch.get_rng_state()
    if model.device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(model.device)
    facts = {"format_version": FORMAT_VERSION, "position": vars(position), **extra}
    write_atomically(path, tensors, facts)


def write_atomically(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Writes a safetensors file with JSON facts in its header, so that a reader sees the old one or the new one."""
    temporary = path.with_name(f".{path.name}.partial")
    contiguous = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save_file(contiguous, temporary, metadata={"facts": json.dumps(facts)})
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def read_facts(path: Path) -> dict[str, Any]:
    """The facts of a checkpoint, without its tensors.

    Raises:
        UserError: The file is not a checkpoint of this version.
    """
    return _read(path, with_tensors=False)[0]


def load_checkpoint(
    path: Path, model: Recommender, optimizer: torch.optim.Optimizer
) -> tuple[Position, dict[str, Any]]:
    """Puts model, optimiser and random state back to where a checkpoint was written.

    Returns:
        The position and the facts that were given to :func:`save_checkpoint`.

    Raises:
        UserError: The file is damaged, or does not fit the model.
    """
    facts, tensors = _read(path, with_tensors=True)
    load_weights(model, tensors, path)
    state = optimizer.state_dict()
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, number, key = name.split(".", 2)
            moments.setdefault(int(number), {})[key] = value
    optimizer.load_state_dict({"state": moments, "param_groups": state["param_groups"]})
    torch.set_rng_state(tensors["random.cpu"])
    if "random.cuda" in tensors and model.device.type == "cuda":
        torch.cuda.set_rng_state(tensors["random.cuda"], model.device)
    return Position(**facts["position"]), facts


def save_weights(path: Path, model: Recommender, facts: dict[str, Any]) -> None:
    """Writes the model's weights alone (the best ones so far)."""
    write_atomically(
        path,
        {f"model.{name}": value for name, value in model.state_dict().items()},
        {"format_version": FORMAT_VERSION, **facts},
    )


def load_best(path: Path, model: Recommender) -> dict[str, Any]:
    """Reads what :func:`save_weights` wrote into `model` and returns the facts."""
    facts, tensors = _read(path, with_tensors=True)
    load_weights(model, tensors, path)
    return facts


def load_weights(model: Recommender, tensors: dict[str, Tensor], path: Path) -> None:
    """Puts the ``model.*`` tensors of a checkpoint into `model`.

    Raises:
        UserError: They do not fit.
    """
    weights = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(
            "the checkpoint does not fit this model or dataset",
            where=str(path),
            how="train into another run folder, or with --overwrite",
        ) from error


def _read(path: Path, *, with_tensors: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            names = list(file.keys()) if with_tensors else []
            tensors = {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise UserError(
            f"the checkpoint is damaged ({error})", where=str(path), how="delete it to start the run again"
        ) from error
    if facts.get("format_version") != FORMAT_VERSION:
        raise UserError(
            f"checkpoint format {facts.get('format_version')} is not known", where=str(path), how="upgrade iisan"
        )
    return facts, tensors
