"""``iisan export``: a trained model for other programs."""

from __future__ import annotations

from typing import Any

import typer

from iisan.cli.consoles import messages, results
from iisan.cli.options import add_verb, build
from iisan.cli.progress import TaskProgress
from iisan.jobs.export.model_folder import ExportModelJob, export_model
from iisan.jobs.export.onnx_folder import ExportOnnxJob, export_onnx
from iisan.jobs.export.vectors import ExportVectorsJob, export_vectors


def add_to(app: typer.Typer) -> None:
    """Adds the verb and what it can do."""
    verb = typer.Typer(help="A trained model for other programs.", no_args_is_help=True, rich_markup_mode=None)
    add_verb(verb, "onnx", onnx, (ExportOnnxJob,), arguments=("model", "output"))
    add_verb(verb, "vectors", vectors, (ExportVectorsJob,), arguments=("model", "output"))
    add_verb(verb, "model", model, (ExportModelJob,), arguments=("model", "output"))
    app.add_typer(verb, name="export")


def onnx(values: dict[str, Any]) -> None:
    """The side network and the sequence encoder as ONNX, compared with the model, with a page on how to feed them."""
    export = export_onnx(build(ExportOnnxJob, values))
    for name, file in export.description["files"].items():
        ports = [f"{port['name']} [{', '.join(map(str, port['shape']))}]" for port in file["inputs"]]
        line = f"{name}: {', '.join(ports)}; differs from the model by {file['largest_difference']:.1e} at most"
        results.print(line, soft_wrap=True, markup=False, highlight=False)
    results.print(f"{export.folder}", soft_wrap=True, markup=False, highlight=False)


def vectors(values: dict[str, Any]) -> None:
    """Item embeddings as Parquet, and user vectors with --histories, for vector databases that rank by products."""
    job = build(ExportVectorsJob, values)
    with TaskProgress() as progress:
        export = export_vectors(job, progress)
    for problem in export.problems:
        messages.print(problem, soft_wrap=True, markup=False)
    results.print(f"{export.n_items:,} items: {export.items}", soft_wrap=True, markup=False, highlight=False)
    if export.users is not None:
        results.print(f"{export.n_users:,} users: {export.users}", soft_wrap=True, markup=False, highlight=False)


def model(values: dict[str, Any]) -> None:
    """A model folder that is read anywhere: added items are part of its table, no path of this machine is in it."""
    export = export_model(build(ExportModelJob, values))
    added = f", {export.n_additions:,} additions among them" if export.n_additions else ""
    results.print(f"{export.n_items:,} items{added}: {export.folder}", soft_wrap=True, markup=False, highlight=False)
