"""A graph as an ONNX file."""

from __future__ import annotations

import contextlib
import inspect
import logging
import warnings
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from iisan.errors import UserError
from iisan.jobs.export.graph import Graph

NEEDED = ("onnx", "onnxscript", "onnxruntime")
# A protobuf message ends at 2 GiB; weights beyond this go into a file beside it.
LARGEST_FILE = 1 << 30
_EXPORTERS = ("torch.onnx", "onnxscript")
# Sizes at which a graph is recorded. All differ, and none is 1, which the exporter would take for granted.
_EXAMPLE = {"items": 5, "batch": 3, "length": 2}


def require_onnx() -> None:
    """Checks that what an export needs is installed.

    Raises:
        UserError: A package is missing.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UserError(f"an ONNX export needs {', '.join(missing)}", how="pip install 'iisan[export]'")


def write_graph(graph: Graph, path: Path, metadata: Mapping[str, str]) -> int:
    """Writes a graph, with weights beside it in ``NAME.data`` where they are too large for one file.

    Args:
        graph: What to write.
        path: The file.
        metadata: Texts that go into it.

    Returns:
        The version of the standard operator set that it uses.

    Raises:
        OSError: It cannot be written.
    """
    import onnx_ir

    model = _recorded(graph)
    _name_sizes(model, graph)
    _forget_sources(model)
    model.metadata_props.update(metadata)
    model.producer_name, model.producer_version = "iisan", metadata.get("iisan.version", "")
    size = sum(value.const_value.nbytes for value in model.graph.initializers.values())
    onnx_ir.save(model, path, external_data=f"{path.name}.data" if size > LARGEST_FILE else None)
    return int(model.opset_imports[""])


def _recorded(graph: Graph) -> Any:
    """The graph as an ``onnx_ir.Model``."""
    generator = torch.Generator().manual_seed(0)
    example = tuple(port.random(_EXAMPLE, generator) for port in graph.inputs)
    dims = {name: torch.export.Dim(name, min=1, max=graph.longest.get(name)) for name in graph.sizes}
    shapes = tuple(
        {axis: dims[size] for axis, size in enumerate(port.shape) if isinstance(size, str)} for port in graph.inputs
    )
    with torch.no_grad(), warnings.catch_warnings(action="ignore", category=FutureWarning), _quiet_exporter():
        program = torch.export.export(graph.module, example, dynamic_shapes=_by_parameter(graph.module, shapes))
        exported = torch.onnx.export(
            program,
            dynamo=True,
            verbose=False,
            input_names=[port.name for port in graph.inputs],
            output_names=[graph.output.name],
        )
    if exported is None:
        raise RuntimeError("the exporter gave no program")
    return exported.model


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """The exporter warns of operations that are not installed or not simplified; neither is anything to a user."""
    loggers = [logging.getLogger(name) for name in _EXPORTERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _by_parameter(module: torch.nn.Module, shapes: tuple[Any, ...]) -> Any:
    """Shapes in the form of a module's parameters, which may be one ``*inputs``."""
    parameters = inspect.signature(module.forward).parameters.values()
    variadic = any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters)
    return (shapes,) if variadic else shapes


def _name_sizes(model: Any, graph: Graph) -> None:
    """Gives sizes the names that the ports have; the exporter numbers them."""
    names: dict[str, str] = {}
    for value, port in zip(model.graph.inputs, graph.inputs, strict=True):
        pairs = zip(value.shape, port.shape, strict=True)
        names |= {str(size): name for size, name in pairs if isinstance(name, str)}
    values = [*model.graph.inputs, *(output for node in model.graph.all_nodes() for output in node.outputs)]
    for value in values:
        for axis, size in enumerate(value.shape or ()):
            if str(size) in names:
                value.shape[axis] = names[str(size)]


def _forget_sources(model: Any) -> None:
    """Takes out where in which file on this machine each operation was written."""
    model.graph.metadata_props.clear()
    model.graph.doc_string = None
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    for value in [*model.graph.inputs, *model.graph.initializers.values()]:
        value.metadata_props.clear()
