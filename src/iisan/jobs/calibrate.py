"""Calibrate: a few real training steps with a clock and a memory meter, in a process that does nothing else."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field

from iisan.data.dataset import Dataset
from iisan.data.importers.catalogue import named_parts
from iisan.data.windows import training_windows
from iisan.efficiency.available_memory import available_bytes
from iisan.efficiency.memory_meter import MemoryMeter
from iisan.efficiency.model_size import model_size
from iisan.efficiency.out_of_memory import is_out_of_memory
from iisan.efficiency.plan import Calibration
from iisan.efficiency.step_clock import StepClock, StepsDoneError
from iisan.errors import UserError
from iisan.jobs.catalogue_facts import catalogue_facts
from iisan.jobs.measure_method import BAD_INPUT, OUT_OF_MEMORY
from iisan.jobs.train import make_split, prepared_source, recommender_config, training_stores
from iisan.jobs.training_source import training_source
from iisan.models.recommender import Recommender
from iisan.training.config import TrainConfig
from iisan.training.device import resolve_device
from iisan.training.encoder_rates import encoder_rates
from iisan.training.trainer import Trainer

WARM_UP = 2
TIMED = 10
# Seconds; a step of encoders on a processor may take half of that.
LIMIT = 20.0


class CalibrateJob(BaseModel):
    """What to run a few steps of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: Path
    states: Path = Field(description="Folder of the stores")
    config: TrainConfig
    encoder: tuple[str, ...] = ()


class CalibrationFailedError(Exception):
    """The steps could not be run; the message says why."""


class NoMemoryError(CalibrationFailedError):
    """They ran out of memory."""


def calibrate(job: CalibrateJob) -> Calibration:
    """Runs a few steps and measures them.

    Raises:
        UserError: The dataset, a store, an encoder or an option is at fault.
    """
    config = job.config
    device = resolve_device(config.device)
    available, memory = available_bytes(device), MemoryMeter(device)
    dataset = Dataset.open(job.dataset)
    split = make_split(dataset, config)
    windows = len(training_windows(split, config.max_length))
    if not windows:
        raise UserError("no user has two training items to learn from", how="bring a larger log")
    clock = _clock(device, windows, config.batch_size)
    stores = training_stores(dataset, config, job.states)
    source = training_source(config, stores, dataset, named_parts(job.encoder), device, clock)
    torch.manual_seed(config.seed)
    present = {name: int((store.rows_of(dataset.item_ids) >= 0).sum()) for name, store in stores.items()}
    model = Recommender(recommender_config(config, source.modalities, dataset.n_items, present)).to(device)
    prepared = prepared_source(model, source, stores, dataset, split)
    rates = encoder_rates(config, catalogue_facts(dataset, stores)["encoders"])
    with tempfile.TemporaryDirectory() as run, contextlib.suppress(StepsDoneError):
        Trainer(model, prepared, split, config, Path(run), _never, None, clock, rates).fit()
    peak = memory.peak()
    return Calibration(
        batch_size=config.batch_size,
        windows=windows,
        step_seconds=clock.step_seconds,
        peak_memory=peak.bytes,
        memory_kind=peak.kind,
        available=available,
        parameters=model_size(model, source),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
    )


def calibrate_apart(job: CalibrateJob) -> Calibration:
    """Calibrates in a fresh process, so that what ran before does not count.

    Raises:
        UserError: The dataset, a store, an encoder or an option is at fault.
        NoMemoryError: The steps do not fit into memory.
        CalibrationFailedError: They failed otherwise.
    """
    with tempfile.TemporaryDirectory() as folder:
        specification, result = Path(folder) / "job.json", Path(folder) / "calibration.json"
        specification.write_text(job.model_dump_json(), encoding="utf-8")
        command = [sys.executable, "-m", "iisan.jobs.calibrate", str(specification), str(result)]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603
        if done.returncode == 0:
            return Calibration.model_validate_json(result.read_text(encoding="utf-8"))
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    if done.returncode == BAD_INPUT:
        raise UserError(last)
    # The kernel ends a process that takes too much with signal 9.
    if done.returncode in (OUT_OF_MEMORY, -9):
        raise NoMemoryError(last)
    raise CalibrationFailedError(f"{last} (exit code {done.returncode})")


def _clock(device: torch.device, windows: int, batch_size: int) -> StepClock:
    """A clock that stops within the first epoch, however few steps that has."""
    steps = min(-(-windows // batch_size), WARM_UP + TIMED)
    # On CUDA single steps are too short to be timed one by one.
    block = 2 if device.type == "cuda" and steps >= 4 else 1
    blocks = max(1, (steps - WARM_UP) // block)
    return StepClock(device, steps - block * blocks, block, blocks, limit=LIMIT)


def _never(model: Recommender) -> dict[str, float]:
    raise RuntimeError("the epoch ended before all steps were timed")


def main() -> int:
    """Runs the job in the JSON file named first and writes the calibration to the one named second."""
    job = CalibrateJob.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        calibration = calibrate(job)
    except UserError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        print((str(error).splitlines() or ["no message"])[0], file=sys.stderr)
        return OUT_OF_MEMORY
    Path(sys.argv[2]).write_text(calibration.model_dump_json(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
