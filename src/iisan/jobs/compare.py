"""Compare: every way of adapting the encoders, measured one after the other, each in a process of its own."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from iisan.data.dataset import Dataset
from iisan.efficiency.measurement import Failure, Measurement, Outcome
from iisan.efficiency.report import Comparison, compare_outcomes, write_reports
from iisan.efficiency.report.plots.sheet import require_plotting
from iisan.efficiency.tpme import PAPER_WEIGHTS, check_weights
from iisan.errors import UserError
from iisan.jobs.compared_methods import ALL_METHODS, method_config
from iisan.jobs.measure_method import BAD_INPUT, MEASUREMENT, OUT_OF_MEMORY, MeasureJob
from iisan.jobs.output_file import output_file
from iisan.training.config import Preset

logger = logging.getLogger(__name__)

SPECIFICATION = "specification.json"
LOG = "log.txt"

# Called as (method, epochs done, epochs in all, note); a method that was measured before says so in the note.
Progress = Callable[[str, int, int, str], None]


class CompareJob(BaseModel):
    """What to compare, how long, and where to put it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: Path = Field(description="Dataset folder, encoded")
    output: Path = Field(description="Folder for the runs and the report; methods measured there before are kept")
    methods: list[str] = Field(list(ALL_METHODS), min_length=1, description="Methods, also peft:NAME")
    epochs: int = Field(3, ge=1, description="Epochs of each method")
    steps: int | None = Field(None, ge=1, description="Steps of each method instead; an epoch's time is scaled up")
    batch_size: int | None = Field(
        None,
        ge=1,
        description="Histories a step, for all methods; by default the preset's",
    )
    preset: Preset = Field(
        "default", description="What is not given here; paper: of each method, what its script in the paper has"
    )
    max_length: int | None = Field(None, ge=1, description="Longest history; the preset's by default")
    modalities: list[str] | None = Field(None, description="Modalities to use; all by default")
    precision: str | None = Field(None, description="float32, bfloat16 or auto; the preset's by default")
    gradient_checkpointing: bool = Field(False, description="Compute activations again instead of keeping them")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    seed: int = Field(0, ge=0, description="Seed of all methods")
    states: Path | None = Field(None, description="Folder of the stores; by default DATASET/states")
    encoder: tuple[str, ...] = Field(
        (), description="Where an encoder is now, MODALITY=MODEL; by default where it was when the states were made"
    )
    weights: tuple[float, float, float] = Field(
        PAPER_WEIGHTS, description="Weights of time, parameters and memory in TPME; they sum to 1"
    )

    def shared_options(self) -> dict[str, Any]:
        """Training options that all methods share."""
        given = {
            "batch_size": self.batch_size,
            "max_length": self.max_length,
            "modalities": self.modalities,
            "precision": self.precision,
            "max_steps": self.steps,
        }
        return {
            **{name: value for name, value in given.items() if value is not None},
            # A budget of steps may be spent in any number of epochs; none is stopped early, or it would be cheaper.
            "max_epochs": self.epochs if self.steps is None else self.steps,
            "patience": self.epochs if self.steps is None else self.steps,
            "gradient_checkpointing": self.gradient_checkpointing,
            "device": self.device,
            "seed": self.seed,
        }

    def measure_job(self, method: str) -> MeasureJob:
        """The measurement of one method."""
        return MeasureJob(
            method=method,
            dataset=self.dataset,
            run=self.output / method.replace(":", "-"),
            states=self.states,
            preset=self.preset,
            options=self.shared_options(),
            encoder=self.encoder,
        )


@dataclass(frozen=True)
class CompareOutcome:
    """A finished comparison.

    Attributes:
        comparison: The numbers.
        reports: Files of the report.
    """

    comparison: Comparison
    reports: list[Path]


def compare_methods(job: CompareJob, progress: Progress | None = None) -> CompareOutcome:
    """Measures every method that is not measured yet and writes the report.

    A method that fails is reported and the others go on. Called again after an interruption, it goes on with the method
    that was under way, from its start: half a measurement would not be one.

    Args:
        job: What to compare.
        progress: Is told of each method's epochs.

    Raises:
        UserError: The dataset, a method's name or an option is at fault, or every method failed.
    """
    _check(job)
    outcomes = [_outcome(job.measure_job(method), job.epochs, progress or _silent) for method in job.methods]
    if all(isinstance(outcome, Failure) for outcome in outcomes):
        first = next(outcome for outcome in outcomes if isinstance(outcome, Failure))
        raise UserError(f"every method failed; {first.method}: {first.reason}", where=str(job.output))
    comparison = compare_outcomes(outcomes, job.weights, setting={"Dataset": Dataset.open(job.dataset).name})
    return CompareOutcome(comparison, write_reports(comparison, job.output))


def _silent(method: str, done: int, total: int, note: str) -> None:
    pass


def _check(job: CompareJob) -> None:
    require_plotting()
    Dataset.open(job.dataset)
    repeated = sorted({method for method in job.methods if job.methods.count(method) > 1})
    if repeated:
        raise UserError(f"method {repeated[0]!r} is named twice", where="methods", how="name each one once")
    for method in job.methods:
        method_config(method, job.preset, job.shared_options())
    try:
        check_weights(job.weights)
    except ValueError as error:
        raise UserError(str(error), where="weights", how="give three numbers that sum to 1") from error
    try:
        job.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"the folder cannot be made ({error.strerror})", where=str(job.output), how="name another one"
        ) from error


def _outcome(job: MeasureJob, epochs: int, progress: Progress) -> Outcome:
    before = _measured_before(job)
    if before is not None:
        progress(job.method, epochs, epochs, "measured before")
        return before
    progress(job.method, 0, epochs, "")
    specification = _place(job, SPECIFICATION)
    with output_file(specification) as draft:
        draft.write_text(job.model_dump_json(indent=2) + "\n", encoding="utf-8")
    code = _run(specification, _place(job, LOG), lambda done: progress(job.method, done, epochs, ""))
    measured = _measured_before(job)
    if code == 0 and measured is not None:
        progress(job.method, epochs, epochs, "")
        return measured
    failure = _failure(job, code)
    progress(job.method, 0, epochs, f"failed: {failure.reason}")
    return failure


def _place(job: MeasureJob, name: str) -> Path:
    """A file beside the run folder: the run is made anew when it is measured again."""
    return job.run.with_name(f"{job.run.name}.{name}")


def _measured_before(job: MeasureJob) -> Measurement | None:
    """The measurement that was finished for the very same job, if any."""
    try:
        same = json.loads(_place(job, SPECIFICATION).read_text(encoding="utf-8")) == json.loads(job.model_dump_json())
        return Measurement.model_validate_json((job.run / MEASUREMENT).read_text(encoding="utf-8")) if same else None
    except (OSError, ValueError, ValidationError):
        return None


def _run(specification: Path, log: Path, on_epoch: Callable[[int], None]) -> int:
    """Measures in a fresh process and gives its exit code; it ends with this one."""
    command: Sequence[str] = [sys.executable, "-m", "iisan.jobs.measure_method", str(specification)]
    done = 0
    with log.open("w", encoding="utf-8") as errors:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8")  # noqa: S603
        try:
            for line in child.stdout or ():
                if line.startswith('{"epoch"'):
                    done += 1
                    on_epoch(done)
            return child.wait()
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait()


def _failure(job: MeasureJob, code: int) -> Failure:
    log = _place(job, LOG)
    lines = [line for line in log.read_text(encoding="utf-8").splitlines() if line.strip()] if log.exists() else []
    last = lines[-1].strip() if lines else "no message"
    if code == OUT_OF_MEMORY:
        return Failure(method=job.method, reason=f"out of memory ({last})", out_of_memory=True)
    if code == -signal.SIGKILL:
        return Failure(method=job.method, reason="killed, most likely for want of memory", out_of_memory=True)
    if code == BAD_INPUT:
        return Failure(method=job.method, reason=last)
    logger.warning("%s failed: %s (see %s)", job.method, last, log)
    return Failure(method=job.method, reason=f"{last} (exit code {code}; see {log.name})")
