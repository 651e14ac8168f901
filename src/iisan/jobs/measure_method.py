"""Measure one method: train it with the meters on, in a process that does nothing else."""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field

from iisan.data.dataset import Dataset
from iisan.data.importers.catalogue import named_parts
from iisan.efficiency.energy_meter import EnergyMeter
from iisan.efficiency.gate_values import gate_values
from iisan.efficiency.measurement import EncodingCost, EpochRecord, Measurement
from iisan.efficiency.memory_meter import MemoryMeter
from iisan.efficiency.model_size import model_size
from iisan.efficiency.out_of_memory import is_out_of_memory
from iisan.efficiency.phase_timer import PhaseTimer
from iisan.encoders.rebuild import rebuild_encoder
from iisan.errors import UserError
from iisan.evaluation.evaluate import evaluate
from iisan.evaluation.scorers import RecommenderScorer
from iisan.jobs.compared_methods import method_config
from iisan.jobs.encode import modality_contents, states_folder
from iisan.jobs.output_file import output_file
from iisan.jobs.run_folder import versions
from iisan.jobs.train import TrainJob, TrainOutcome, train_recommender
from iisan.models.side_network import SideNetwork
from iisan.states.content import is_missing
from iisan.states.store import HiddenStateStore
from iisan.training.config import Preset, TrainConfig
from iisan.training.device import resolve_device
from iisan.training.status import StepStatus

logger = logging.getLogger(__name__)

MEASUREMENT = "measurement.json"
# Items that are encoded to tell what encoding all of them costs; the first batch warms up and is not timed.
ENCODED_SAMPLE = 64
WARM_UP = 8
BAD_INPUT = 2
OUT_OF_MEMORY = 3


class MeasureJob(BaseModel):
    """One method to measure, and where."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str = Field(description="As in a comparison, e.g. lora or iisan-uncached")
    dataset: Path
    run: Path = Field(description="Run folder; the measurement goes there too")
    states: Path | None = None
    preset: Preset = "default"
    options: dict[str, Any] = Field(default_factory=dict, description="Training options that all methods share")
    encoder: tuple[str, ...] = ()


class _Watch:
    """Takes the readings of the meters while training runs."""

    def __init__(self, memory: MemoryMeter, timer: PhaseTimer) -> None:
        self.memory = memory
        self.timer = timer
        self.peak = 0
        self.n_steps = 0
        self.phases: list[dict[str, float]] = []
        self._before = dict.fromkeys(timer.seconds(), 0.0)

    def on_step(self, status: StepStatus) -> None:
        """Peak memory of training is that of its first epoch, before any validation."""
        self.n_steps = status.n_steps
        if not self.phases:
            self.peak = self.memory.peak().bytes

    def on_epoch(self, record: dict[str, Any]) -> None:
        now = self.timer.seconds()
        self.phases.append({name: now[name] - self._before[name] for name in now})
        self._before = dict(now)
        print(json.dumps({"epoch": record["epoch"], "loss": record["loss"]}), flush=True)


def measure_method(job: MeasureJob) -> Measurement:
    """Trains a method and measures it; the measurement is also written to the run folder.

    Peak memory is that of loading and of the steps of the first epoch. Epochs are timed without validation.

    Raises:
        UserError: The dataset, an encoder or an option is at fault.
    """
    config = method_config(job.method, job.preset, job.options)
    device = resolve_device(config.device)
    memory, timer = MemoryMeter(device), PhaseTimer(device)
    watch = _Watch(memory, timer)
    energy = EnergyMeter(device)
    train = TrainJob(
        dataset=job.dataset, run=job.run, states=job.states, preset=job.preset, overwrite=True, encoder=job.encoder
    )
    outcome = train_recommender(train, config, watch, timer)
    joules = energy.joules()
    measurement = Measurement(
        method=job.method,
        batch_size=config.batch_size,
        steps_per_epoch=watch.n_steps,
        epochs=_epochs(outcome, watch),
        parameters=model_size(outcome.model, outcome.source),
        peak_memory=watch.peak,
        memory_kind=memory.peak().kind,
        energy=joules,
        encoding=_encoding_cost(job, config, device),
        test_metrics=_test_metrics(outcome, config),
        best_epoch=outcome.result.best_epoch,
        gates=_gates(outcome),
        versions=versions(),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
    )
    with output_file(job.run / MEASUREMENT) as draft:
        draft.write_text(measurement.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return measurement


def _epochs(outcome: TrainOutcome, watch: _Watch) -> list[EpochRecord]:
    facts = {"epoch", "loss", "steps", "seconds", "validation_seconds"}
    return [
        EpochRecord(
            epoch=record["epoch"],
            loss=record["loss"],
            steps=record["steps"],
            seconds=record["seconds"],
            phases=phases,
            metrics={name: value for name, value in record.items() if name not in facts},
        )
        for record, phases in zip(outcome.result.history, watch.phases, strict=True)
    ]


def _test_metrics(outcome: TrainOutcome, config: TrainConfig) -> dict[str, float]:
    scorer = RecommenderScorer(outcome.model, outcome.model.table.embeddings)
    return evaluate(scorer, outcome.split, "test", config.max_length, (10,)).metrics["paper"]


def _gates(outcome: TrainOutcome) -> dict[str, Any]:
    network = outcome.model.item_encoder
    if not isinstance(network, SideNetwork):
        return {}
    encoders = outcome.model.details["encoders"]
    return gate_values(network, {name: encoders[name]["taps"] for name in network.names})


def _encoding_cost(job: MeasureJob, config: TrainConfig, device: torch.device) -> EncodingCost | None:
    """What encoding the catalogue costs, for a method that trains on stored states; None for the others."""
    if config.method not in ("iisan", "frozen") or config.source == "live":
        return None
    dataset = Dataset.open(job.dataset)
    places = named_parts(job.encoder)
    seconds, items, timed = 0.0, 0, 0
    names = dataset.modalities if config.modalities is None else config.modalities
    for name in names:
        store = HiddenStateStore.open(states_folder(job.dataset, job.states) / name)
        if store.manifest.encoder.get("imported"):
            return None
        try:
            encoder = rebuild_encoder(store.manifest.encoder, model=places.get(name), device=str(device))
        except UserError as error:
            logger.warning("the cost of encoding is not known: %s", error)
            return None
        contents = [content for content in modality_contents(dataset, name) if not is_missing(content)]
        sample = contents[WARM_UP : WARM_UP + ENCODED_SAMPLE] or contents
        encoder.encode(contents[:WARM_UP])
        started = time.perf_counter()
        encoder.encode(sample)
        seconds += (time.perf_counter() - started) / max(1, len(sample)) * len(contents)
        items, timed = items + len(contents), timed + len(sample)
    return EncodingCost(seconds=seconds, items=items, measured_items=timed)


def main() -> int:
    """Measures the method that the JSON file named on the command line asks for; exit codes say why it failed."""
    job = MeasureJob.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        measure_method(job)
    except UserError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        print(str(error).splitlines()[0], file=sys.stderr)
        return OUT_OF_MEMORY
    return 0


if __name__ == "__main__":
    sys.exit(main())
