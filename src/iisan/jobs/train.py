"""Train: from a dataset and its hidden states to a saved recommender."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from iisan.data.dataset import Dataset
from iisan.data.importers.catalogue import named_parts
from iisan.data.interactions import Rows
from iisan.data.split import Split
from iisan.data.split_options import SplitOptions
from iisan.errors import UserError
from iisan.evaluation.evaluate import rank_users
from iisan.evaluation.metrics import ranking_metrics
from iisan.evaluation.scorers import RecommenderScorer
from iisan.jobs.catalogue_facts import catalogue_facts, catalogue_table
from iisan.jobs.encode import states_folder
from iisan.jobs.open_stores import modality_names, open_stores, with_content
from iisan.jobs.recorded_dataset import place_of
from iisan.jobs.run_folder import MODEL, run_folder
from iisan.jobs.save_model import save_whole
from iisan.jobs.training_source import save_tuned, training_source
from iisan.models.config import (
    FrozenConfig,
    ItemEncoderConfig,
    ItemIdConfig,
    ModalityConfig,
    RecommenderConfig,
    SasrecConfig,
    SideNetworkConfig,
    WhiteningConfig,
)
from iisan.models.recommender import Recommender
from iisan.models.whitening import fits
from iisan.states.cached_source import CachedSource
from iisan.states.phases import PhaseObserver
from iisan.states.prefetched_source import PrefetchedSource
from iisan.states.sources import ModalityShape, StateSource
from iisan.states.store import HiddenStateStore
from iisan.training.config import Preset, TrainConfig
from iisan.training.device import resolve_device
from iisan.training.encoder_rates import encoder_rates
from iisan.training.status import Reporter, Reporters
from iisan.training.tensorboard import TensorBoard
from iisan.training.trainer import Trainer, TrainResult
from iisan.tuning.choose import is_tuned
from iisan.tuning.tuned_source import TunedSource

TENSORBOARD = "tensorboard"

logger = logging.getLogger(__name__)

# For `whiten: auto`. Whitening lost at 1.6 items a dimension, tied at 3.7 and won at 54 (docs/results.md).
ITEMS_PER_DIMENSION = 3


class TrainJob(BaseModel):
    """Where a training run reads and writes; how it trains is :class:`TrainConfig`'s."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: Path = Field(description="Dataset folder")
    run: Path = Field(description="Run folder; a run that was interrupted there is continued")
    states: Path | None = Field(None, description="Folder of the stores; by default DATASET/states")
    preset: Preset = Field("default", description="Values of the options that are not given")
    overwrite: bool = Field(False, description="Start again where a run is already")
    tensorboard: bool = Field(False, description="Write TensorBoard scalars to RUN/tensorboard")
    encoder: tuple[str, ...] = Field(
        (), description="Where an encoder is now, MODALITY=MODEL, for methods that run it; by default where it was"
    )


@dataclass(frozen=True)
class TrainOutcome:
    """A finished run.

    Attributes:
        model: The recommender with its best weights and item table.
        result: How training went.
        folder: Where the model was saved.
        split: What it was trained on.
        source: Where its hidden states came from.
    """

    model: Recommender
    result: TrainResult
    folder: Path
    split: Split
    source: StateSource


def train_recommender(
    job: TrainJob, config: TrainConfig, reporter: Reporter | None = None, observer: PhaseObserver | None = None
) -> TrainOutcome:
    """Trains, keeps the best weights by the validation metric, and saves the model with its item table.

    Args:
        job: Where to read and write.
        config: How to train; :meth:`TrainConfig.preset` makes one.
        reporter: Is told of steps and epochs.
        observer: Is told of the phases of each step.

    Raises:
        UserError: Something of the input does not fit; a run that diverged.
    """
    board = TensorBoard(job.run / TENSORBOARD) if job.tensorboard else None
    dataset = Dataset.open(job.dataset)
    split = make_split(dataset, config)
    stores = training_stores(dataset, config, states_folder(job.dataset, job.states))
    _warn_of_other_pooling(job.preset, stores)
    device = resolve_device(config.device)
    source = training_source(config, stores, dataset, named_parts(job.encoder), device, observer)
    torch.manual_seed(config.seed)
    details = {**catalogue_facts(dataset, stores), "training": config.model_dump(mode="json")}
    present = {name: int((store.rows_of(dataset.item_ids) >= 0).sum()) for name, store in stores.items()}
    shapes = recommender_config(config, source.modalities, dataset.n_items, present)
    resolved = {"preset": job.preset, **config.model_dump(mode="json")}
    facts = {key: details[key] for key in ("dataset", "encoders")}
    places = {"dataset": place_of(job.dataset, job.run)}
    defaults = TrainConfig().model_dump(mode="json")
    with run_folder(job.run, resolved, facts, overwrite=job.overwrite, places=places, defaults=defaults) as folder:
        model = Recommender(shapes, details=details).to(device)
        prepared = prepared_source(model, source, stores, dataset, split)
        validate = Validation(prepared, split, config)
        with board or contextlib.nullcontext():
            told = Reporters(*(one for one in (reporter, board) if one is not None))
            rates = encoder_rates(config, details["encoders"])
            result = Trainer(model, prepared, split, config, folder, validate, told, observer, rates).fit()
        model.details["metrics"] = {f"validation {name}": value for name, value in result.metrics.items()}
        embeddings = model.embed_items(prepared, chunk=config.encode_chunk).cpu()
        offered = _recommendable(stores, dataset, split)
        model.item_table = catalogue_table(dataset, stores, embeddings, offered)
        save_whole(model, folder / MODEL, lambda draft: save_tuned(model, source, draft))
    return TrainOutcome(model, result, folder / MODEL, split, source)


def _warn_of_other_pooling(preset: Preset, stores: dict[str, HiddenStateStore]) -> None:
    for name, store in stores.items():
        pooling = store.manifest.encoder.get("pooling")
        if preset == "paper" and pooling != "first":
            how = pooling or "an unknown way"
            logger.warning("the paper pools by the first token, the states of %s by %s", name, how)


class Validation:
    """Validation metrics of a model under training, by full ranking.

    Args:
        source: Hidden states by catalogue row.
        split: Its validation targets are ranked.
        config: Gives the history length, the chunk, the metric and how many users.
    """

    def __init__(self, source: StateSource, split: Split, config: TrainConfig) -> None:
        self.source = source
        self.split = split
        self.config = config
        asked = [int(name.split("@")[1]) for name in [config.metric] if "@" in name]
        self.ks = tuple(sorted({10, *asked}))
        self.users = _validation_users(len(split.histories("valid")), config)

    def __call__(self, model: Recommender) -> dict[str, float]:
        """HR, NDCG and MRR under the paper's protocol."""
        items = model.embed_items(self.source, chunk=self.config.encode_chunk)
        ranks = rank_users(RecommenderScorer(model, items), self.split, "valid", self.config.max_length, self.users)
        return ranking_metrics(ranks, self.ks)


def _validation_users(n_users: int, config: TrainConfig) -> Rows | None:
    """Positions of the users to validate on, ascending; None for all."""
    if config.validation_users is None or config.validation_users >= n_users:
        return None
    logger.info("validation on %s of %s users", f"{config.validation_users:,}", f"{n_users:,}")
    return np.sort(np.random.default_rng(config.seed).permutation(n_users)[: config.validation_users])


def make_split(dataset: Dataset, config: TrainConfig) -> Split:
    """The split that a training configuration asks for."""
    return SplitOptions.of_training(config.model_dump()).apply(dataset)


def training_stores(dataset: Dataset, config: TrainConfig, folder: Path) -> dict[str, HiddenStateStore]:
    """The stores that a configuration reads, or whose encoders it runs; none for ``id``."""
    if config.method == "id":
        return {}
    names = modality_names(dataset, folder) if config.modalities is None else config.modalities
    if not names:
        raise UserError("there is no modality to learn from", where=str(dataset.path), how="use --method id")
    return open_stores(dataset, names, folder)


def recommender_config(
    config: TrainConfig, shapes: dict[str, ModalityShape], n_items: int, present: dict[str, int] | None = None
) -> RecommenderConfig:
    """The model that a training configuration and the shapes of the hidden states make.

    Args:
        config: How to train.
        shapes: Taps and width of each modality.
        n_items: ``N``.
        present: How many items have each modality; by default all of them.
    """
    present = present or dict.fromkeys(shapes, n_items)
    return RecommenderConfig(
        item_encoder=_item_encoder_config(config, shapes, n_items),
        sequence_encoder=SasrecConfig(
            dim=config.dim,
            max_length=config.max_length,
            n_layers=config.n_layers,
            n_heads=config.n_heads,
            dropout=config.dropout,
        ),
        own_items=n_items if config.item_ids and config.method == "iisan" else None,
        own_dropout=config.item_id_dropout,
        whitening=_whitening(config, shapes, present),
        similarity=config.similarity,
        temperature=config.temperature,
    )


def _whitening(
    config: TrainConfig, shapes: dict[str, ModalityShape], present: dict[str, int]
) -> dict[str, WhiteningConfig]:
    """Which modalities are whitened; a covariance of more dimensions than a third of the items is mostly noise."""
    if is_tuned(config.method):
        return {}
    chosen = {
        name: WhiteningConfig(n_taps=shape.n_taps, width=shape.width)
        for name, shape in shapes.items()
        if config.whiten == "yes" or (config.whiten == "auto" and _worth_whitening(shape, present[name]))
    }
    if config.whiten == "auto" and shapes:
        logger.info("whitened modalities: %s", ", ".join(chosen) or "none, too few items or too wide an encoder")
    return chosen


def _worth_whitening(shape: ModalityShape, n_items: int) -> bool:
    return n_items >= ITEMS_PER_DIMENSION * shape.width and fits(shape.n_taps, shape.width)


def _item_encoder_config(config: TrainConfig, shapes: dict[str, ModalityShape], n_items: int) -> ItemEncoderConfig:
    if config.method == "id":
        return ItemIdConfig(n_items=n_items, dim=config.dim)
    if config.method != "iisan":
        return FrozenConfig(widths={name: shape.width for name, shape in shapes.items()}, dim=config.dim)
    return SideNetworkConfig(
        modalities={
            name: ModalityConfig(
                n_taps=shape.n_taps,
                width=shape.width,
                bottleneck=config.bottleneck,
                head_width=shape.width if config.head_layers == 2 else None,
            )
            for name, shape in shapes.items()
        },
        towers=config.towers,
        inter_bottleneck=config.bottleneck,
        inter_head_width=min(shape.width for shape in shapes.values()) if config.head_layers == 2 else None,
        activation=config.activation,
        dropout=config.side_dropout,
        dim=config.dim,
    )


def prepared_source(
    model: Recommender, source: StateSource, stores: dict[str, HiddenStateStore], dataset: Dataset, split: Split
) -> StateSource:
    """The source as the model is to read it: whitened once where it is stored, tuned with the model where it is not."""
    if isinstance(source, TunedSource):
        model.encoders = source.modules
        return source
    if isinstance(source, CachedSource | PrefetchedSource):
        model.fit_whitening(source, _not_held_out(split))
        return model.prepared(source)
    # Whitening is fitted on the stored states, which are the same numbers, and done anew for every batch.
    model.fit_whitening(CachedSource(stores, dataset.item_ids, device=model.device), _not_held_out(split))
    return source


def _not_held_out(split: Split) -> Tensor | None:
    """Rows that training may see; None for all. A held-out item is as good as not there yet, whitening included."""
    if not len(split.held_out):
        return None
    seen = torch.ones(split.n_items, dtype=torch.bool)
    seen[torch.from_numpy(split.held_out)] = False
    return seen.nonzero().flatten()


def _recommendable(stores: dict[str, HiddenStateStore], dataset: Dataset, split: Split) -> Tensor:
    """Which items may be offered ``[N]``: those with content; without any modality, those that were trained on."""
    return with_content(stores, dataset) if stores else torch.from_numpy(split.train_counts > 0)
