"""Export ONNX: a model's item side and its sequence encoder, and what a program must know to feed them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field

import iisan
from iisan.data.checksum import sha256_of_file
from iisan.data.staging import FolderKind, check_output
from iisan.jobs.evaluate import load_recommender
from iisan.jobs.export.feeding_guide import feeding_guide
from iisan.jobs.export.graph import Graph, Port
from iisan.jobs.export.graph_file import require_onnx, write_graph
from iisan.jobs.export.item_graph import item_graph, modality_inputs, tuned_by
from iisan.jobs.export.new_folder import new_folder
from iisan.jobs.export.parity import check_parity
from iisan.jobs.export.portable_details import portable_details
from iisan.jobs.export.sequence_graph import sequence_graph
from iisan.jobs.export.source_model import refuse_within, source_folder
from iisan.jobs.export.vector_file import write_rows
from iisan.models.config import ItemIdConfig
from iisan.models.file_names import ITEMS, WEIGHTS
from iisan.models.recommender import Recommender

FORMAT = "iisan.onnx"
FORMAT_VERSION = 1
DESCRIPTION = "export.json"
README = "README.md"
ITEM_ENCODER = "item_encoder.onnx"
SEQUENCE_ENCODER = "sequence_encoder.onnx"


class ExportOnnxJob(BaseModel):
    """Which model to export, and where to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(description="Model folder, run folder or hub id")
    output: Path = Field(description="Folder to make for the ONNX files")
    overwrite: bool = Field(False, description="Replace an export that is there")


@dataclass(frozen=True)
class OnnxExport:
    """An exported model.

    Attributes:
        folder: Where it is.
        description: What its ``export.json`` says.
    """

    folder: Path
    description: dict[str, Any]


def export_onnx(job: ExportOnnxJob) -> OnnxExport:
    """Writes ``item_encoder.onnx``, ``sequence_encoder.onnx``, ``export.json`` and a README that says how to feed them.

    Both files are run by onnxruntime and compared with the model before they are put in place. A model with a learned
    vector an item also gives ``items.parquet``, which has them.

    Raises:
        UserError: There is no such model, a package is missing, something is at the output already, or it cannot be
            written.
    """
    require_onnx()
    folder = source_folder(job.model)
    refuse_within(job.output, folder)
    kind = FolderKind("folder of ONNX files", "export", _is_export)
    check_output(job.output, overwrite=job.overwrite, kind=kind)
    model = load_recommender(str(folder))
    with new_folder(job.output, kind, overwrite=job.overwrite) as draft:
        facts = _facts(model, sha256_of_file(folder / WEIGHTS))
        graphs = {ITEM_ENCODER: item_graph(model), SEQUENCE_ENCODER: sequence_graph(model)}
        files = {name: _write(graph, draft / name, facts) for name, graph in graphs.items()}
        if model.own is not None or isinstance(model.config.item_encoder, ItemIdConfig):
            _write_items(model, draft / ITEMS)
        description = {**facts, "files": files}
        text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
        (draft / DESCRIPTION).write_text(text, encoding="utf-8")
        (draft / README).write_text(feeding_guide(description, graphs), encoding="utf-8")
    return OnnxExport(job.output, description)


def _facts(model: Recommender, sha256: str) -> dict[str, Any]:
    """What holds for both files."""
    config = model.config
    details = portable_details(model.details)
    encoders, dtypes = details.get("encoders") or {}, details.get("state_dtypes") or {}
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "versions": {"iisan": iisan.__version__, "torch": torch.__version__},
        "weights_sha256": sha256,
        "item_encoder": config.item_encoder.kind,
        "similarity": config.similarity,
        "dim": config.item_encoder.dim,
        "max_length": model.max_length,
        "tuned_by": tuned_by(model),
        "modalities": {
            name: {
                "n_taps": one.n_taps,
                "width": one.width,
                "taps": one.taps,
                "state_dtype": dtypes.get(name),
                "encoder": encoders.get(name),
            }
            for name, one in modality_inputs(model).items()
        },
    }


def _write(graph: Graph, path: Path, facts: dict[str, Any]) -> dict[str, Any]:
    ports = {"inputs": [_port(port) for port in graph.inputs], "outputs": [_port(graph.output)]}
    texts = {**facts["versions"], **{key: value for key, value in facts.items() if key != "versions"}, **ports}
    metadata = {f"iisan.{key}": value if isinstance(value, str) else json.dumps(value) for key, value in texts.items()}
    metadata["iisan.version"] = metadata.pop("iisan.iisan")
    opset = write_graph(graph, path, metadata)
    return {"opset": opset, **ports, "largest_difference": check_parity(graph, path)}


def _port(port: Port) -> dict[str, Any]:
    return {"name": port.name, "dtype": port.dtype, "shape": list(port.shape), "meaning": port.meaning}


def _write_items(model: Recommender, path: Path) -> None:
    """The items that have a place or a vector in the model, in their order."""
    n = model.config.own_items or len(model.table)
    vectors = None if model.own is None else model.own.table.weight.detach()
    write_rows(path, model.table.item_ids[:n], vectors)


def _is_export(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))["format"] == FORMAT)
    except (OSError, ValueError, KeyError, TypeError):
        return False
