"""Import a checkpoint of the authors' implementation (contract: the parity files have the same layout)."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError, safe_open
from torch import Tensor

from iisan.data.dataset import Dataset
from iisan.errors import UserError
from iisan.jobs.catalogue_facts import catalogue_facts, catalogue_table
from iisan.jobs.encode import states_folder
from iisan.jobs.open_stores import open_stores, with_content
from iisan.jobs.save_model import save_whole
from iisan.models.recommender import Recommender
from iisan.models.reference_checkpoint import from_reference, reference_config, reference_taps
from iisan.states.cached_source import CachedSource
from iisan.states.store import HiddenStateStore
from iisan.training.config import PAPER

logger = logging.getLogger(__name__)

# What the authors trained and measured with (contract point 10): `evaluate` goes by it.
PROTOCOL = {"min_interactions": 5, "keep_last": PAPER["keep_last"], "catalogue": PAPER["catalogue"]}
POOLING = "first"
_PREFIXES = ("module.", "weight.")
# Entries of the reference's state dict that are not parameters of the recommender but of the frozen encoders.
_OURS = ("mm_encoder.", "com_dense.", "user_encoder.")


class ImportCheckpointJob(BaseModel):
    """Which checkpoint, built with which arguments, and where the model goes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    checkpoint: Path = Field(description="Checkpoint: .pt of the authors' code, or .safetensors with the same names")
    output: Path = Field(description="Model folder to make")
    dataset: Path | None = Field(None, description="Dataset folder, to embed its items with the model")
    states: Path | None = Field(None, description="Folder of the stores; by default DATASET/states")
    text_layers: str = Field("1,3,5,7,9,11", description="Layer list of the text side, counted from 0")
    image_layers: str = Field("1,3,5,7,9,11", description="Layer list of the image side, counted from 0")
    text_width: int = Field(768, ge=1, description="Hidden width of the text encoder")
    image_width: int = Field(768, ge=1, description="Hidden width of the image encoder")
    dim: int = Field(64, ge=1, description="Item embedding width")
    max_length: int = Field(10, ge=1, description="Longest history")
    n_layers: int = Field(2, ge=1, description="Layers of the sequence encoder")
    n_heads: int = Field(2, ge=1, description="Attention heads of the sequence encoder")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout of the sequence encoder")
    activation: str = Field("RELU", description="Activation of the blocks: RELU or GELU")

    def arguments(self) -> dict[str, str]:
        """The same under the reference's argument names."""
        return {
            "side_adapter_bert_list": self.text_layers,
            "side_adapter_vit_list": self.image_layers,
            "text_embedding_dim": str(self.text_width),
            "image_embedding_dim": str(self.image_width),
            "embedding_dim": str(self.dim),
            "max_seq_len": str(self.max_length),
            "transformer_block": str(self.n_layers),
            "num_attention_heads": str(self.n_heads),
            "drop_rate": str(self.dropout),
            "adapter_activation": self.activation,
        }


def import_checkpoint(job: ImportCheckpointJob) -> Recommender:
    """Reads the weights, builds our model around them and saves it.

    Arguments found in a safetensors file's metadata win over the job's.

    Raises:
        UserError: The file cannot be read safely, or does not fit the arguments or the dataset.
    """
    if job.output.exists():
        raise UserError("there is something already", where=str(job.output), how="name another folder")
    weights, found = read_reference(job.checkpoint)
    arguments = {**job.arguments(), **found}
    try:
        config = reference_config(weights, arguments)
        model = Recommender(config, details={"imported_from": job.checkpoint.name, "training": PROTOCOL})
        model.load_state_dict(from_reference(weights, config.item_encoder.dim))
    except (RuntimeError, KeyError, ValueError, StopIteration) as error:
        raise UserError(
            f"the weights do not fit the arguments ({shorten(str(error), 300)})",
            where=str(job.checkpoint),
            how="give the widths, layer lists and sizes that it was trained with",
        ) from error
    model.eval()
    if job.dataset is not None:
        states = states_folder(job.dataset, job.states)
        widths = {name: int(arguments[f"{name}_embedding_dim"]) for name in ("text", "image")}
        _embed(model, Dataset.open(job.dataset), states, reference_taps(weights, arguments), widths)
    save_whole(model, job.output)
    return model


def read_reference(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Weights by the reference's names, and the arguments where the file has them.

    Raises:
        UserError: The file is missing, unreadable, or would need code to be run.
    """
    if not path.is_file():
        raise UserError("no such file", where=str(path), how="name a checkpoint")
    if path.suffix == ".safetensors":
        return _from_safetensors(path)
    try:
        with warnings.catch_warnings(action="ignore"):  # about what the file is made of; the error says enough
            data: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the restricted unpickler raises whatever a damaged file leads it to
        raise _unreadable(path) from error
    state = data.get("model_state_dict", data) if isinstance(data, dict) else None
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise UserError("no state_dict in the file", where=str(path), how="save the model's state_dict")
    return _only_model(state), {}


def _from_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            return _only_model(weights), dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise _unreadable(path) from error


def _unreadable(path: Path) -> UserError:
    return UserError(
        "not a checkpoint that can be read without running code from it",
        where=str(path),
        how="save its state_dict alone, or as safetensors",
    )


def _only_model(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    stripped = {}
    for name, value in weights.items():
        for prefix in _PREFIXES:
            name = name.removeprefix(prefix)
        if name.startswith(_OURS):
            stripped[name] = value
    return stripped


def _embed(
    model: Recommender, dataset: Dataset, states: Path, taps: dict[str, list[int]], widths: dict[str, int]
) -> None:
    stores = open_stores(dataset, sorted(taps), states)
    for name, store in stores.items():
        _refuse_other_states(store, taps[name], widths[name])
    source = CachedSource(stores, dataset.item_ids)
    model.item_table = catalogue_table(dataset, stores, model.embed_items(source), with_content(stores, dataset))
    model.details |= catalogue_facts(dataset, stores)


def _refuse_other_states(store: HiddenStateStore, taps: list[int], width: int) -> None:
    if list(store.taps) != taps or store.width != width:
        raise UserError(
            f"the store has taps {list(store.taps)} of width {store.width}, the checkpoint reads {taps} of {width}",
            where=str(store.path),
            how="encode again with the checkpoint's encoder and `--taps`",
        )
    if store.manifest.encoder.get("pooling") != POOLING:
        logger.warning(
            "%s: the states are pooled by %r, the authors' code reads the %s token",
            store.path,
            store.manifest.encoder.get("pooling"),
            POOLING,
        )
