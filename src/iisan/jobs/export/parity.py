"""Whether an ONNX file computes what the model computes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from iisan.jobs.export.graph import Graph

TOLERANCE = 1e-4
FEW, MANY = 1, 7


def check_parity(graph: Graph, path: Path) -> float:
    """Runs a file by onnxruntime beside the model, on random inputs of several sizes.

    Args:
        graph: The computation and its ports.
        path: The file.

    Returns:
        The largest difference, relative to the largest output where that is above 1.

    Raises:
        RuntimeError: It is above 1e-4: the file must not be used.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(1)
    largest = 0.0
    for sizes in _sizes(graph):
        inputs = [port.random(sizes, generator) for port in graph.inputs]
        with torch.inference_mode():
            wanted = (graph.reference or graph.module)(*inputs)
        feeds = {port.name: tensor.numpy() for port, tensor in zip(graph.inputs, inputs, strict=True)}
        found = torch.from_numpy(session.run([graph.output.name], feeds)[0])
        difference = float((found - wanted).abs().max() / wanted.abs().max().clamp_min(1))
        if not difference <= TOLERANCE:
            raise RuntimeError(f"{path.name} differs from the model by {difference:.1e} at {sizes}")
        largest = max(largest, difference)
    return largest


def _sizes(graph: Graph) -> Iterator[dict[str, int]]:
    """One of everything; several, up to what is allowed; several of what may be as long as it can be."""
    for number in (FEW, MANY):
        yield {name: min(number, graph.longest.get(name, number)) for name in graph.sizes}
    if graph.longest:
        yield {name: graph.longest.get(name, MANY) for name in graph.sizes}
