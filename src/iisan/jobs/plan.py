"""Plan: what a training run would take, before it is started."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from iisan.data.dataset import Dataset
from iisan.data.importers.catalogue import named_parts
from iisan.data.manifest import ModalityKind
from iisan.data.windows import training_windows
from iisan.efficiency.plan import MARGIN, CachePlan, Calibration, MemoryLine, Plan, Prediction, step_seconds
from iisan.encoders.config import EncoderConfig, Pooling, TapSpec
from iisan.errors import UserError
from iisan.jobs.calibrate import CalibrateJob, NoMemoryError, calibrate_apart
from iisan.jobs.encode import DEFAULT_MODELS, states_folder
from iisan.jobs.open_stores import modality_names, open_stores
from iisan.jobs.stand_in_states import write_stand_in
from iisan.jobs.train import make_split
from iisan.states.cached_source import RESIDENT_BUDGET_BYTES
from iisan.states.manifest import MANIFEST_NAME
from iisan.states.shard_file import TORCH_DTYPES
from iisan.states.store import HiddenStateStore
from iisan.training.config import Preset, TrainConfig
from iisan.training.device import resolve_device
from iisan.tuning.choose import is_tuned

# The batches that are run are these shares of the one that is planned.
SHARES = (4, 2)

Note = Callable[[str], None]


class PlanJob(BaseModel):
    """What to plan for; how it would train is :class:`TrainConfig`'s."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    dataset: Path = Field(description="Dataset folder, encoded or not")
    states: Path | None = Field(None, description="Folder of the stores; by default DATASET/states")
    preset: Preset = Field("default", description="Values of the options that are not given")
    encoder: tuple[str, ...] = Field(
        (), description="Where an encoder is now, MODALITY=MODEL; by default where it was when the states were made"
    )
    text_model: str = Field(DEFAULT_MODELS["text"], description="Text encoder of modalities that are not encoded")
    image_model: str = Field(DEFAULT_MODELS["image"], description="Image encoder of modalities that are not encoded")
    pooling: Pooling = Field("mean", description="Of modalities that are not encoded: first, mean or last token")
    taps: TapSpec = Field("paper", description="Of modalities that are not encoded: paper, all, or layer numbers")
    max_tokens: int = Field(64, ge=1, description="Of texts that are not encoded: tokens that are read")
    image_size: int | None = Field(
        None, ge=8, description="Of pictures that are not encoded: side in pixels; the encoder's own by default"
    )
    store_dtype: Literal["float16", "bfloat16", "float32"] = Field(
        "float16", description="Of modalities that are not encoded: numbers on disk"
    )

    def encoder_config(self, kind: ModalityKind, device: str) -> EncoderConfig:
        """The encoder of a modality that is not encoded."""
        return EncoderConfig(
            kind=kind,
            model=self.text_model if kind == "text" else self.image_model,
            pooling=self.pooling,
            taps=self.taps,
            max_tokens=self.max_tokens,
            image_size=self.image_size,
            device=device,
        )


def plan_run(job: PlanJob, config: TrainConfig, note: Note | None = None) -> Plan:
    """Predicts what ``train`` would take with the same options.

    A few steps are run at two batch sizes below the one that is asked for, each in a process of its own; nothing is
    written beside temporary files.

    Args:
        job: What to plan for.
        config: How it would train.
        note: Is told what is being done.

    Raises:
        UserError: The dataset, a store, an encoder or an option is at fault, or memory is too small for any batch.
        CalibrationFailedError: The steps failed for another reason.
    """
    note = note or _silent
    dataset = Dataset.open(job.dataset)
    windows = len(training_windows(make_split(dataset, config), config.max_length))
    if not windows:
        raise UserError("no user has two training items to learn from", how="bring a larger log")
    with tempfile.TemporaryDirectory(prefix="iisan-plan-") as folder:
        states = _States(job, config, dataset, Path(folder), note)
        runs = _calibrations(job, config, states, min(config.batch_size, windows), note)
    return _plan(config, states, runs)


class _States:
    """The stores that are there, linked, and stand-ins for those that are not, in one folder."""

    def __init__(self, job: PlanJob, config: TrainConfig, dataset: Dataset, folder: Path, note: Note) -> None:
        self.folder = folder
        self.caches: dict[str, CachePlan] = {}
        self.places: dict[str, str] = dict(named_parts(job.encoder))
        # How much more the real states take than those that stand in for them.
        self.more_bytes = 0
        real = states_folder(job.dataset, job.states)
        names = modality_names(dataset, real) if config.modalities is None else config.modalities
        for name in names if config.method != "id" else ():
            if (real / name / MANIFEST_NAME).is_file():
                (folder / name).symlink_to((real / name).resolve(), target_is_directory=True)
                self.caches[name] = _encoded(open_stores(dataset, [name], folder)[name])
                continue
            if name not in dataset.modalities:
                there = ", ".join(dataset.modalities) or "none"
                raise UserError(f"no modality {name!r}", where=str(job.dataset), how=f"there are: {there}")
            note(f"timing the encoder of {name}")
            self._stand_in(job, config, dataset, name)

    def _stand_in(self, job: PlanJob, config: TrainConfig, dataset: Dataset, name: str) -> None:
        encoder = job.encoder_config(dataset.modalities[name], str(resolve_device(config.device)))
        made = write_stand_in(dataset, name, encoder, job.store_dtype, self.folder / name, config.seed)
        row = made.varying_taps * made.width * TORCH_DTYPES[job.store_dtype].itemsize
        self.caches[name] = CachePlan(
            bytes=made.contents * row,
            contents=made.contents,
            taps=made.varying_taps,
            width=made.width,
            dtype=job.store_dtype,
            encoded=False,
            encoding_seconds=made.seconds,
        )
        self.places.setdefault(name, encoder.model)
        self.more_bytes += (made.contents - made.rows) * row


def _encoded(store: HiddenStateStore) -> CachePlan:
    rows = store.manifest.rows
    return CachePlan(
        bytes=rows * len(store.varying_taps) * store.width * store.dtype.itemsize,
        contents=rows,
        taps=len(store.varying_taps),
        width=store.width,
        dtype=store.manifest.dtype,
        encoded=True,
    )


def _calibrations(job: PlanJob, config: TrainConfig, states: _States, batch: int, note: Note) -> list[Calibration]:
    """Calibrations at two batches, smaller ones where memory does not suffice."""
    sizes = sorted({max(number, batch // share) for number, share in enumerate(SHARES, start=1)})
    while True:
        try:
            return [_calibration(job, config, states, size, note) for size in sizes]
        except NoMemoryError as error:
            if sizes[0] == 1:
                raise UserError(
                    f"memory does not suffice for {sizes[-1]} histories a step ({error})",
                    where=f"method {config.method!r}",
                    how="use a smaller encoder, or a method that does not tune it",
                ) from error
            sizes = [max(number, size // 4) for number, size in enumerate(sizes, start=1)]


def _calibration(job: PlanJob, config: TrainConfig, states: _States, batch: int, note: Note) -> Calibration:
    note(f"running a few steps of {batch}")
    places = tuple(f"{name}={place}" for name, place in states.places.items())
    smaller = config.model_copy(update={"batch_size": batch})
    return calibrate_apart(
        CalibrateJob(dataset=job.dataset, states=states.folder, config=smaller, encoder=places),
    )


def _plan(config: TrainConfig, states: _States, runs: list[Calibration]) -> Plan:
    last = runs[-1]
    batch, steps = min(config.batch_size, last.windows), math.ceil(last.windows / config.batch_size)
    line = MemoryLine.through(runs)
    line = MemoryLine(line.base + _resident_bytes(config, states), line.slope)
    sizes = " and ".join(str(run.batch_size) for run in runs)
    largest = _largest_batch(line, last)
    return Plan(
        method=config.method,
        batch_size=config.batch_size,
        device=last.device,
        steps_per_epoch=steps,
        caches=states.caches,
        cache_bytes=_cache_bytes(states.caches),
        encoding_seconds=_encoding_seconds(states.caches),
        trainable_parameters=Prediction(value=last.parameters.trainable, how="counted on the model", error="none"),
        parameters=Prediction(value=last.parameters.total, how="counted on the model", error="none"),
        epoch_seconds=Prediction(
            value=steps * step_seconds(runs, batch),
            how=f"steps of {sizes}, continued to {batch}, times {steps:,} steps; without validation",
            error="a factor of 1.5 on a machine that does nothing else",
        ),
        peak_memory=Prediction(
            value=line.at(batch),
            how=f"peaks at {sizes}, continued in a straight line to {batch}",
            error="a third; validation of a large catalogue may need more",
        ),
        memory_kind=last.memory_kind,
        available_memory=last.available,
        fits=None if largest is None else batch <= largest.value,
        largest_batch=largest,
        calibrations=runs,
    )


def _cache_bytes(caches: Mapping[str, CachePlan]) -> Prediction:
    how = "distinct contents × taps that vary × width × bytes of a number"
    size = sum(cache.bytes for cache in caches.values())
    return Prediction(value=size, how=how, error="none; indices and checksums come on top")


def _encoding_seconds(caches: Mapping[str, CachePlan]) -> Prediction:
    seconds = [cache.encoding_seconds for cache in caches.values() if cache.encoding_seconds is not None]
    if not seconds:
        return Prediction(value=0, how="nothing is left to encode", error="none")
    how = "a sample of the items through the encoders, scaled to all"
    return Prediction(value=sum(seconds), how=how, error="a factor of 1.5 on a machine that does nothing else")


def _largest_batch(line: MemoryLine, run: Calibration) -> Prediction | None:
    if run.available is None:
        return None
    how = f"that line up to the free memory less {MARGIN:.0%}; an epoch has {run.windows:,} histories"
    return Prediction(value=line.largest_batch(run.available, run.windows), how=how, error="as peak memory")


def _resident_bytes(config: TrainConfig, states: _States) -> int:
    """Memory that real states will take where stand-ins were run."""
    total = sum(cache.bytes for cache in states.caches.values())
    if is_tuned(config.method) or config.source == "live" or total > RESIDENT_BUDGET_BYTES:
        return 0
    return states.more_bytes


def _silent(text: str) -> None:
    pass
