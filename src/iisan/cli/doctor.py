"""``iisan doctor``: what is wrong with a dataset, before hours are spent."""

from __future__ import annotations

import json
from typing import Any, Literal

import typer
from pydantic import BaseModel, ConfigDict, Field
from rich.table import Table
from rich.text import Text

from iisan.cli.consoles import results
from iisan.cli.flags import in_flags
from iisan.cli.options import add_verb, build, chosen
from iisan.cli.progress import TaskProgress
from iisan.data.doctor.finding import Finding, Severity
from iisan.data.doctor.options import DoctorOptions
from iisan.data.doctor.report import DoctorReport
from iisan.data.importers.delimited import DelimitedImport
from iisan.jobs.doctor import DoctorJob, examine_dataset
from iisan.training.config import TrainConfig

TRAINING_WOULD_BE_WRONG = 1
# What the doctor advises to set, which may be an option of training or of an import.
OPTIONS = {*DoctorOptions.model_fields, *TrainConfig.model_fields, *DelimitedImport.model_fields}
STYLES: dict[Severity, str] = {"error": "red", "warning": "yellow", "ok": ""}


class DoctorOutput(BaseModel):
    """In what form to print."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["table", "json"] = Field("table", description="Form of the answer")


def add_to(app: typer.Typer) -> None:
    """Adds the verb."""
    add_verb(app, "doctor", run, (DoctorJob, DoctorOptions, DoctorOutput), arguments=("dataset",))


def run(values: dict[str, Any]) -> None:
    """Look for faults in a dataset before hours are spent; exit code 1 where training would be wrong."""
    output = build(DoctorOutput, chosen(values, DoctorOutput))
    job, options = build(DoctorJob, chosen(values, DoctorJob)), build(DoctorOptions, chosen(values, DoctorOptions))
    with TaskProgress() as progress:
        report = examine_dataset(job, options, progress)
    if output.format == "json":
        typer.echo(json.dumps(report.as_data(), indent=2))
    else:
        print_report(report)
    if not report.ok:
        raise typer.Exit(TRAINING_WOULD_BE_WRONG)


def print_report(report: DoctorReport) -> None:
    """Prints errors, then warnings, then the names of the checks that found nothing that matters."""
    counts = report.folder.manifest.counts
    size = f"{counts.items:,} items, {counts.users:,} users, {counts.interactions:,} interactions"
    results.print(f"{report.folder.manifest.name} ({report.folder.path}): {size}", soft_wrap=True)
    errors, warnings, fine = (report.of(severity) for severity in ("error", "warning", "ok"))
    checked = [one for one in fine if one.total]
    if errors or warnings:
        table = Table("check", "found", "what, where, what to do", show_lines=True)
        for one in (*errors, *warnings):
            table.add_row(_name(one), _found(one), _words(one))
        results.print(table)
    for heading, these in (("fine", checked), ("nothing to check", [one for one in fine if not one.total])):
        if these:
            results.print(f"{heading}: {', '.join(map(_label, these))}")
    missing = [one.about for one in warnings if one.check == "missing_store"]
    after = f" once {', '.join(missing)} is encoded, or without it (--modalities)" if missing else ""
    verdict = "training would be wrong" if errors else f"training can begin{after}"
    results.print(f"errors: {len(errors)}, warnings: {len(warnings)}, fine: {len(checked)}; {verdict}")


def _name(one: Finding) -> Text:
    return Text.assemble((one.severity, STYLES[one.severity]), "\n", one.check, f"\n({one.about})" if one.about else "")


def _label(one: Finding) -> str:
    return f"{one.check} ({one.about})" if one.about else one.check


def _found(one: Finding) -> str:
    share = 100 * one.share
    percent = "under 0.1 %" if 0 < share < 0.1 else f"{share:.1f} %"
    return f"{one.count:,} of {one.total:,}\n{one.unit}\n{percent}"


def _words(one: Finding) -> str:
    examples = f"\ne.g. {'; '.join(one.examples)}" if one.examples else ""
    return f"{in_flags(one.what, OPTIONS)}{examples}\n→ {in_flags(one.how, OPTIONS)}"
