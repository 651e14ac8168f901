"""The README beside exported ONNX files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from iisan.jobs.export.graph import Graph, Port
from iisan.jobs.export.item_graph import ITEMS, OWN, ROWS

_NUMPY = {"float32": "np.float32", "bool": "bool", "int64": "np.int64"}

_GUIDE = """# A recommender as ONNX

`{item_file}` turns items into embeddings, `{sequence_file}` turns the embeddings of a history into a user state. The
inner product of a user state and an item embedding is the score of that item. `export.json` says the same as this page
in a form that programs read, and both files carry it in their metadata.

| file | input or output | dtype | shape | holds |
|---|---|---|---|---|
{ports}

A size with a name may be any number{limits}.
{sources}
## Use

```python
import numpy as np
import onnxruntime as ort

n = 3  # items
item_encoder = ort.InferenceSession("{item_file}", providers=["CPUExecutionProvider"])
embeddings = item_encoder.run(
    ["{item_output}"],
    {{
{feeds}
    }},
)[0]  # [n, {dim}]

sequence_encoder = ort.InferenceSession("{sequence_file}", providers=["CPUExecutionProvider"])
history = embeddings[None, -{shown}:]  # one history, oldest first; a shorter one of a batch has its padding in front
real = np.ones(history.shape[:2], dtype=bool)
user_state = sequence_encoder.run(["user_state"], {{"history": history, "real": real}})[0]  # [1, {dim}]

scores = user_state @ embeddings.T  # [1, n]
```
{rows}"""

_STATES = """
## Where the hidden states come from

{rows}

Each hidden state is pooled to one vector a layer, state 0 being the embedding output; `export.json` says under
`modalities` by which encoder, with which pooling and preprocessing. {tuned}The states are neither whitened nor
normalised: the graph does what the model does to them.
"""
_TUNED = "The encoders were tuned with the model ({method}): the states must come from the tuned ones. "
_ROWS = {
    OWN: """
`items.parquet` has the own vector of each item that the model was trained on: feed it as `own_vectors`, or zeros for
any other item.
""",
    ROWS: """
The model knows items by their place only: `items.parquet` says which item has which `row`.
""",
}


def feeding_guide(description: Mapping[str, Any], graphs: Mapping[str, Graph]) -> str:
    """Markdown that says what goes into the graphs and what comes out.

    Args:
        description: What ``export.json`` says.
        graphs: The graph of the items, then that of the histories, by the name of its file.
    """
    (item_file, item), (sequence_file, sequence) = graphs.items()
    limits = [f"; {name} is at most {most}" for graph in graphs.values() for name, most in graph.longest.items()]
    names = [port.name for port in item.inputs]
    return _GUIDE.format(
        item_file=item_file,
        sequence_file=sequence_file,
        ports="\n".join(_lines(item_file, item) + _lines(sequence_file, sequence)),
        limits="".join(limits),
        sources=_sources(description),
        item_output=item.output.name,
        feeds="\n".join(f'        "{port.name}": {_example(port)},' for port in item.inputs),
        dim=description["dim"],
        shown=min(2, description["max_length"]),
        rows="".join(text for name, text in _ROWS.items() if name in names),
    )


def _lines(file: str, graph: Graph) -> list[str]:
    return [_line(file, f"`{port.name}`", port) for port in graph.inputs] + [
        _line(file, f"→ `{graph.output.name}`", graph.output)
    ]


def _line(file: str, name: str, port: Port) -> str:
    return f"| {file} | {name} | {port.dtype} | [{', '.join(map(str, port.shape))}] | {port.meaning} |"


def _example(port: Port) -> str:
    shape = ", ".join("n" if size == ITEMS else str(size) for size in port.shape)
    make = "np.ones" if port.dtype == "bool" else "np.zeros"
    return f"{make}(({shape}{',' if len(port.shape) == 1 else ''}), dtype={_NUMPY[port.dtype]})"


def _sources(description: Mapping[str, Any]) -> str:
    modalities: Mapping[str, Mapping[str, Any]] = description["modalities"]
    if not modalities:
        return ""
    tuned = _TUNED.format(method=description["tuned_by"]) if description["tuned_by"] else ""
    return _STATES.format(rows=_table(modalities), tuned=tuned)


def _table(modalities: Mapping[str, Mapping[str, Any]]) -> str:
    lines = ["| modality | encoder | revision | hidden states | width |", "|---|---|---|---|---|"]
    for name, one in modalities.items():
        encoder = one["encoder"] or {}
        taps = "not recorded" if one["taps"] is None else ", ".join(map(str, one["taps"]))
        what = [str(encoder.get(key, "not recorded")) for key in ("model", "revision")]
        lines.append(f"| {name} | {' | '.join(what)} | {taps} | {one['width']} |")
    return "\n".join(lines)
