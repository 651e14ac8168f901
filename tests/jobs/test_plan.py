"""Predictions of a training run, against the run."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import iisan.jobs.plan as plan_room
from iisan.data.dataset import Dataset
from iisan.efficiency.measurement import Measurement
from iisan.efficiency.plan import Calibration, Plan
from iisan.encoders.config import Pooling
from iisan.errors import UserError
from iisan.jobs.calibrate import CalibrateJob, NoMemoryError
from iisan.jobs.encode import EncodeJob, encode_dataset
from iisan.jobs.measure_method import MEASUREMENT, MeasureJob
from iisan.jobs.plan import PlanJob, plan_run
from iisan.jobs.stand_in_states import write_stand_in
from iisan.states.store import HiddenStateStore
from iisan.training.config import TrainConfig
from tests.calibrations import calibration
from tests.conftest import N_ITEMS, NO_PICTURE, NO_TEXT, TINY, TinyModels

OPTIONS: dict[str, Any] = {**TINY, "item_ids": False}
METHODS = ["iisan", "lora"]
MB = 1e6


@pytest.fixture(scope="module")
def places(tiny_models: TinyModels) -> tuple[str, ...]:
    return (f"text={tiny_models.text}", f"image={tiny_models.image}")


@pytest.fixture(scope="module")
def compared(
    tiny_dataset: Dataset, places: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Plan, Measurement]]:
    """Plans, and what was measured in processes of their own."""
    pytest.importorskip("peft")
    folder = tmp_path_factory.mktemp("planned")
    return {
        method: (_planned(tiny_dataset, method, places), _measured(tiny_dataset, method, places, folder))
        for method in METHODS
    }


def _planned(dataset: Dataset, method: str, places: tuple[str, ...]) -> Plan:
    job = PlanJob(dataset=dataset.path, encoder=places)
    return plan_run(job, TrainConfig.preset("default", **{**OPTIONS, "method": method}))


def _measured(dataset: Dataset, method: str, places: tuple[str, ...], folder: Path) -> Measurement:
    job = MeasureJob(method=method, dataset=dataset.path, run=folder / method, options=OPTIONS, encoder=places)
    specification = folder / f"{method}.json"
    specification.write_text(job.model_dump_json(), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "iisan.jobs.measure_method", str(specification)], check=True)
    return Measurement.model_validate_json((folder / method / MEASUREMENT).read_text(encoding="utf-8"))


@pytest.mark.parametrize("method", METHODS)
def test_sizes_are_exact(compared: dict[str, tuple[Plan, Measurement]], method: str) -> None:
    plan, measured = compared[method]
    assert plan.trainable_parameters.value == measured.parameters.trainable
    assert plan.parameters.value == measured.parameters.total
    assert plan.steps_per_epoch == measured.steps_per_epoch


@pytest.mark.slow  # Its bound holds on a machine that does nothing else.
@pytest.mark.parametrize("method", METHODS)
def test_time_is_about_right(compared: dict[str, tuple[Plan, Measurement]], method: str) -> None:
    plan, measured = compared[method]
    # The first epoch warms up.
    seconds = statistics.median(measured.seconds_per_epoch()[1:])
    assert seconds / 3 < plan.epoch_seconds.value < seconds * 3


@pytest.mark.parametrize("method", METHODS)
def test_memory_is_about_right(compared: dict[str, tuple[Plan, Measurement]], method: str) -> None:
    plan, measured = compared[method]
    assert plan.epoch_seconds.value > 0
    assert plan.memory_kind == measured.memory_kind
    # Of a tiny model nearly all memory is the libraries', which differs by what a process happened to touch.
    assert plan.peak_memory.value == pytest.approx(measured.peak_memory, rel=1 / 3, abs=40 * MB)
    assert plan.fits
    assert plan.largest_batch is not None
    assert plan.largest_batch.value == plan.calibrations[0].windows


def test_what_is_encoded_is_counted(compared: dict[str, tuple[Plan, Measurement]], tiny_dataset: Dataset) -> None:
    plan, _ = compared["iisan"]
    assert plan.encoding_seconds.value == 0
    assert {name: cache.encoded for name, cache in plan.caches.items()} == {"image": True, "text": True}
    assert plan.cache_bytes.value == sum(_stored(tiny_dataset.path / "states").values())


@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_what_will_be_stored_is_known_to_the_byte(
    bare_dataset: Path, tiny_models: TinyModels, encode_job: Callable[..., EncodeJob], tmp_path: Path, pooling: Pooling
) -> None:
    folder = shutil.copytree(bare_dataset, tmp_path / "tiny")
    job = PlanJob(dataset=folder, text_model=str(tiny_models.text), image_model=str(tiny_models.image), pooling=pooling)
    dataset = Dataset.open(folder)
    sizes = {}
    for name, kind in dataset.modalities.items():
        encoder = job.encoder_config(kind, "cpu")
        made = write_stand_in(dataset, name, encoder, job.store_dtype, tmp_path / "stand-in" / name, seed=0)
        sizes[name] = made.contents * made.varying_taps * made.width * 2
    encode_dataset(encode_job(folder, pooling=pooling))
    assert sizes == _stored(folder / "states")


def test_a_dataset_that_is_not_encoded_is_planned_for_and_left_as_it_is(
    compared: dict[str, tuple[Plan, Measurement]], bare_dataset: Path, tiny_models: TinyModels
) -> None:
    job = PlanJob(dataset=bare_dataset, text_model=str(tiny_models.text), image_model=str(tiny_models.image))
    before = sorted(bare_dataset.rglob("*"))
    said: list[str] = []
    plan = plan_run(job, TrainConfig.preset("default", **OPTIONS), said.append)
    assert sorted(bare_dataset.rglob("*")) == before
    assert any("encoder of image" in line for line in said)
    assert plan.encoding_seconds.value > 0
    contents = {"image": N_ITEMS - len(NO_PICTURE), "text": N_ITEMS - len(NO_TEXT)}
    assert {name: cache.contents for name, cache in plan.caches.items()} == contents
    assert plan.cache_bytes.value == sum(cache.bytes for cache in plan.caches.values())
    encoded, _ = compared["iisan"]
    assert plan.trainable_parameters == encoded.trainable_parameters
    assert plan.steps_per_epoch == encoded.steps_per_epoch


def test_a_dataset_without_training_items_is_refused(tiny_dataset: Dataset) -> None:
    with pytest.raises(UserError, match="larger log"):
        plan_run(
            PlanJob(dataset=tiny_dataset.path), TrainConfig.preset("default", **{**OPTIONS, "min_interactions": 99})
        )


def test_a_fault_that_shows_while_it_runs_is_told(tiny_dataset: Dataset) -> None:
    with pytest.raises(UserError, match="--encoder MODALITY="):
        plan_run(PlanJob(dataset=tiny_dataset.path), TrainConfig.preset("default", **{**OPTIONS, "method": "bitfit"}))


def test_where_memory_does_not_suffice_smaller_batches_are_run(
    tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def with_room_for(largest: int) -> Callable[[CalibrateJob], Calibration]:
        def run(job: CalibrateJob) -> Calibration:
            asked.append(job.config.batch_size)
            if job.config.batch_size > largest:
                raise NoMemoryError("tried to allocate")
            return calibration(job.config.batch_size, peak=100 * job.config.batch_size, available=1000)

        return run

    config = TrainConfig.preset("default", **OPTIONS)
    monkeypatch.setattr(plan_room, "calibrate_apart", with_room_for(2))
    plan = plan_run(PlanJob(dataset=tiny_dataset.path), config)
    assert asked == [4, 1, 2]
    assert [run.batch_size for run in plan.calibrations] == [1, 2]
    assert plan.largest_batch is not None
    assert (plan.fits, plan.largest_batch.value, plan.peak_memory.value) == (False, 9, 1600)
    monkeypatch.setattr(plan_room, "calibrate_apart", with_room_for(0))
    with pytest.raises(UserError, match="memory does not suffice"):
        plan_run(PlanJob(dataset=tiny_dataset.path), config)


def _stored(folder: Path) -> dict[str, int]:
    """Bytes of the states in the shards, read anew."""
    sizes = {}
    for path in sorted(folder.iterdir()):
        store = HiddenStateStore.open(path)
        states = store.gather(list(range(store.manifest.rows)))  # type: ignore[arg-type]
        sizes[path.name] = states.numel() * states.element_size()
    return sizes
