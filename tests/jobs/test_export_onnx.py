"""The exported graphs, run by onnxruntime, against the models that they were made of and the authors' numbers."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open

import iisan
from iisan.errors import UserError
from iisan.jobs.export import graph_file, parity
from iisan.jobs.export.graph import Graph, Port
from iisan.jobs.export.item_graph import item_graph
from iisan.jobs.export.onnx_folder import ExportOnnxJob, OnnxExport, export_onnx
from iisan.jobs.export.sequence_graph import sequence_graph
from iisan.jobs.train import TrainOutcome
from iisan.models.recommender import Recommender
from iisan.models.reference_checkpoint import from_reference, reference_config, reference_taps
from tests.exported_models import DIM, KINDS, LENGTH, N, random_source, recommender

TOLERANCE = 1e-4
GOLDEN = Path(os.environ.get("IISAN_PARITY_DIR", Path(__file__).parents[3] / "shared" / "parity"))
Values = npt.NDArray[Any]


def run(path: Path, feeds: dict[str, Values]) -> Values:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert {port.name for port in session.get_inputs()} == set(feeds)
    values: Values = session.run(None, feeds)[0]
    return values


def exported(model: Recommender, folder: Path, **options: Any) -> OnnxExport:
    model.save_pretrained(folder / "model")
    return export_onnx(ExportOnnxJob(model=str(folder / "model"), output=folder / "onnx", **options))


# Exported as a whole; of the other kinds the item side, for what comes after is the same. Recording takes seconds.
WHOLE = ["unequal", "frozen", "id"]


@pytest.fixture(scope="module", params=WHOLE)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(kind: str) -> Recommender:
    return recommender(kind)


@pytest.fixture(scope="module")
def export(model: Recommender, kind: str, tmp_path_factory: pytest.TempPathFactory) -> OnnxExport:
    return exported(model, tmp_path_factory.mktemp(kind))


def feeds_of(kind: str, n_items: int, seed: int, own: list[list[float]] | None = None) -> dict[str, Values]:
    """What a program feeds for items whose hidden states it has."""
    if kind == "id":
        return {"rows": np.arange(n_items)}
    source = random_source(kind, n_items, seed)
    feeds: dict[str, Values] = {}
    for name, available in source.available.items():
        states = source.states[name][:, -1:] if kind == "frozen" else source.states[name]
        present = np.ones(n_items, bool) if available is None else available.numpy()
        # What stands in place of absent content must not matter.
        feeds[f"{name}_states"] = np.where(present[:, None, None], states.numpy(), np.float32("nan"))
        feeds[f"{name}_present"] = present
    if own is not None:
        rest = [[0.0] * DIM] * (n_items - len(own))
        feeds["own_vectors"] = np.array(own[:n_items] + rest, dtype=np.float32)
    return feeds


def embeddings_of(model: Recommender, kind: str, n_items: int, seed: int) -> Values:
    """What the model makes of the same states, as its sources give them."""
    rows = torch.arange(n_items)
    if kind == "id":
        with torch.no_grad():
            found: Values = model.item_embeddings({}, rows).numpy()
    else:
        found = model.embed_items(random_source(kind, n_items, seed), catalogue_rows=rows).numpy()
    return found


@torch.inference_mode()
def user_states(model: Recommender, histories: list[list[int]]) -> Values:
    found: Values = model.last_states(histories, model.table.embeddings).numpy()
    return found


def own_vectors(export: OnnxExport) -> list[list[float]] | None:
    path = export.folder / "items.parquet"
    table = pq.read_table(path) if path.exists() else pa.table({})
    return table["own_vector"].to_pylist() if "own_vector" in table.column_names else None


@pytest.mark.parametrize(("n_items", "seed"), [(N, 3), (2, 4), (1, 5)])
def test_item_embeddings(model: Recommender, export: OnnxExport, kind: str, n_items: int, seed: int) -> None:
    feeds = feeds_of(kind, n_items, seed, own_vectors(export))
    found = run(export.folder / "item_encoder.onnx", feeds)
    assert found.shape == (n_items, DIM)
    np.testing.assert_allclose(found, embeddings_of(model, kind, n_items, seed), atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in WHOLE])
def test_item_embeddings_of_every_other_kind(kind: str, tmp_path: Path) -> None:
    model = recommender(kind)
    path = tmp_path / "item_encoder.onnx"
    graph_file.write_graph(item_graph(model), path, {})
    own = None if model.own is None else model.own.table.weight.tolist()
    for n_items, seed in [(N, 3), (1, 4), (3 * N, 5)]:
        found = run(path, feeds_of(kind, n_items, seed, own))
        wanted = embeddings_of(model, kind, n_items, seed)
        np.testing.assert_allclose(found, wanted, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("length", [1, 3, LENGTH])
def test_user_states(model: Recommender, export: OnnxExport, length: int) -> None:
    generator = torch.Generator().manual_seed(length)
    histories = [torch.randint(N, (1 + number % length,), generator=generator).tolist() for number in range(9)]
    embeddings = model.table.embeddings.numpy()
    history = np.full((len(histories), length, DIM), np.nan, dtype=np.float32)
    real = np.zeros((len(histories), length), dtype=bool)
    for line, rows in enumerate(histories):
        history[line, length - len(rows) :] = embeddings[rows]
        real[line, length - len(rows) :] = True
    found = run(export.folder / "sequence_encoder.onnx", {"history": history, "real": real})
    np.testing.assert_allclose(found, user_states(model, histories), atol=TOLERANCE, rtol=TOLERANCE)
    scores = found @ embeddings.T
    np.testing.assert_allclose(scores, model.score(histories).numpy(), atol=TOLERANCE, rtol=TOLERANCE)


def test_no_items_and_no_histories(export: OnnxExport, kind: str) -> None:
    feeds = {name: values[:0] for name, values in feeds_of(kind, 3, 0, own_vectors(export)).items()}
    assert run(export.folder / "item_encoder.onnx", feeds).shape == (0, DIM)
    nothing = {"history": np.zeros((0, 2, DIM), np.float32), "real": np.zeros((0, 2), bool)}
    assert run(export.folder / "sequence_encoder.onnx", nothing).shape == (0, DIM)


def test_the_files_say_what_they_are(export: OnnxExport, model: Recommender, kind: str) -> None:
    said = json.loads((export.folder / "export.json").read_text(encoding="utf-8"))
    assert said == export.description
    assert (said["item_encoder"], said["dim"], said["max_length"]) == (model.config.item_encoder.kind, DIM, LENGTH)
    for name, one in said["modalities"].items():
        n_taps, width = KINDS[kind][0][name]
        assert one["taps"] == list(range(n_taps))[-one["n_taps"] :]
        assert (one["width"], one["encoder"]["model"], one["state_dtype"]) == (width, f"org/{name}", "float16")
    for name, file in said["files"].items():
        loaded = onnx.load(export.folder / name)
        onnx.checker.check_model(loaded)
        metadata = {one.key: one.value for one in loaded.metadata_props}
        assert metadata["iisan.version"] == iisan.__version__
        assert json.loads(metadata["iisan.modalities"]) == said["modalities"]
        for ports, given in (("inputs", loaded.graph.input), ("outputs", loaded.graph.output)):
            shapes = {
                one.name: [size.dim_param or size.dim_value for size in one.type.tensor_type.shape.dim] for one in given
            }
            assert shapes == {one["name"]: one["shape"] for one in file[ports]}
            assert json.loads(metadata[f"iisan.{ports}"]) == file[ports]


def test_the_guide_can_be_followed_without_this_program(export: OnnxExport) -> None:
    guide = (export.folder / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", guide, flags=re.DOTALL)
    block += f"\nimport sys\nassert scores.shape == (1, 3) and user_state.shape == (1, {DIM})\n"
    block += "assert np.isfinite(scores).all() and 'torch' not in sys.modules\n"
    ended = subprocess.run(
        [sys.executable, "-c", block], cwd=export.folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == 0, ended.stderr


def test_nothing_names_a_folder_of_this_machine(export: OnnxExport) -> None:
    for path in export.folder.iterdir():
        content = path.read_bytes()
        for name in (str(Path(iisan.__file__).parent), str(Path.cwd()), str(export.folder.parent), "site-packages"):
            assert name.encode() not in content, path.name


def test_a_longest_history_of_one(tmp_path: Path) -> None:
    model = recommender("intra", length=1)
    graph_file.write_graph(sequence_graph(model), tmp_path / "one.onnx", {})
    history = model.table.embeddings[:4].unsqueeze(1).numpy()
    found = run(tmp_path / "one.onnx", {"history": history, "real": np.ones((4, 1), bool)})
    wanted = user_states(model, [[0], [1], [2], [3]])
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE, rtol=TOLERANCE)


def test_large_weights_go_into_a_file_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_file, "LARGEST_FILE", 1000)
    model = recommender("id")
    graph_file.write_graph(sequence_graph(model), tmp_path / "large.onnx", {})
    assert (tmp_path / "large.onnx.data").stat().st_size > 1000
    (tmp_path / "moved").mkdir()
    for name in ("large.onnx", "large.onnx.data"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    history = model.table.embeddings[None, :2].numpy()
    found = run(tmp_path / "moved" / "large.onnx", {"history": history, "real": np.ones((1, 2), bool)})
    np.testing.assert_allclose(found, user_states(model, [[0, 1]]), atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("kind", ["unequal"], scope="module")
def test_two_exports_are_the_same_and_the_second_asks(export: OnnxExport) -> None:
    before = {path.name: path.read_bytes() for path in export.folder.iterdir()}
    job = ExportOnnxJob(model=str(export.folder.parent / "model"), output=export.folder)
    with pytest.raises(UserError, match="exists already"):
        export_onnx(job)
    export_onnx(job.model_copy(update={"overwrite": True}))
    assert {path.name: path.read_bytes() for path in export.folder.iterdir()} == before


def test_a_file_that_differs_from_the_model_is_not_put_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity, "TOLERANCE", -1.0)
    with pytest.raises(RuntimeError, match="differs from the model"):
        exported(recommender("id"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_comparison_sees_a_difference(tmp_path: Path) -> None:
    class Half(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x / 2

    class AlmostHalf(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.where(x > 1, x * 0.501, x / 2)

    ports = (Port("x", "float32", ("items", 30), "numbers"),), Port("y", "float32", ("items", 30), "their halves")
    path = tmp_path / "half.onnx"
    graph_file.write_graph(Graph(Half().eval(), *ports), path, {})
    assert parity.check_parity(Graph(Half(), *ports), path) == 0
    with pytest.raises(RuntimeError, match=r"half\.onnx differs from the model"):
        parity.check_parity(Graph(Half(), *ports, reference=AlmostHalf()), path)


def test_what_is_there_stays(tmp_path: Path) -> None:
    recommender("id").save_pretrained(tmp_path / "model")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "export.json").write_text('{"format": "mine"}', encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    for output, message in [
        (tmp_path / "mine", "something that is not a folder of ONNX files"),
        (tmp_path / "model", "folder of the model itself"),
        (tmp_path / "model" / "onnx", "folder of the model itself"),
        (tmp_path / "model" / "config.json", "folder of the model itself"),
        (tmp_path / "mine" / "export.json", "not a folder"),
        (tmp_path / "mine" / "export.json" / "below", "cannot be written"),
    ]:
        with pytest.raises(UserError, match=message):
            export_onnx(ExportOnnxJob(model=str(tmp_path / "model"), output=output, overwrite=True))
    with pytest.raises(UserError, match="neither a folder nor a model"):
        export_onnx(ExportOnnxJob(model=str(tmp_path / "none"), output=tmp_path / "a" / "b"))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_file, "NEEDED", ("onnx", "no_such_package"))
    with pytest.raises(UserError, match=r"needs no_such_package; pip install 'iisan\[export\]'"):
        export_onnx(ExportOnnxJob(model=str(tmp_path), output=tmp_path / "onnx"))


def test_a_trained_run(trained: TrainOutcome, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run_folder = trained.folder.parent
    with caplog.at_level(logging.WARNING):
        export = export_onnx(ExportOnnxJob(model=str(run_folder), output=tmp_path / "onnx"))
    assert caplog.records == []
    source = trained.source
    states = source.gather(torch.arange(source.n_items))
    feeds: dict[str, Values] = {}
    for name, one in states.items():
        feeds[f"{name}_states"] = one.stacked().numpy()
        feeds[f"{name}_present"] = np.ones(source.n_items, bool) if one.available is None else one.available.numpy()
    rows = pq.read_table(export.folder / "items.parquet")
    assert rows["item_id"].to_pylist() == trained.model.table.item_ids
    feeds["own_vectors"] = np.array(rows["own_vector"].to_pylist(), dtype=np.float32)
    found = run(export.folder / "item_encoder.onnx", feeds)
    np.testing.assert_allclose(found, trained.model.table.embeddings.numpy(), atol=TOLERANCE, rtol=TOLERANCE)
    assert set(export.description["modalities"]) == {"image", "text"}
    assert not any(one["taps"] is None for one in export.description["modalities"].values())


@pytest.mark.slow  # The same follows from the tests above and tests/test_parity.py, in less time.
@pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"no golden files in {GOLDEN} (set IISAN_PARITY_DIR)")
@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.safetensors")), ids=lambda path: path.stem)
def test_the_numbers_of_the_authors(path: Path, tmp_path: Path) -> None:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        arguments = file.metadata()
    weights = {name.removeprefix("weight."): value for name, value in tensors.items() if name.startswith("weight.")}
    model = Recommender(reference_config(weights, arguments))
    model.load_state_dict(from_reference(weights, model.config.item_encoder.dim))
    folder = exported(model, tmp_path).folder
    feeds: dict[str, Values] = {}
    for name, taps in reference_taps(weights, arguments).items():
        states = tensors[f"input.{name}_hidden_states"][:, taps].numpy()
        feeds |= {f"{name}_states": states, f"{name}_present": np.ones(len(states), bool)}
    items = run(folder / "item_encoder.onnx", feeds)
    np.testing.assert_allclose(items, tensors["output.item_embedding"].numpy(), atol=TOLERANCE, rtol=TOLERANCE)
    real = tensors["input.input_mask"].bool()
    history = items[tensors["input.item_ids"][:, :-1].numpy()]
    found = run(folder / "sequence_encoder.onnx", {"history": history, "real": real.numpy()})
    wanted = tensors["output.user_states"][:, -1].numpy()
    last = real[:, -1].numpy()
    assert last.any()
    np.testing.assert_allclose(found[last], wanted[last], atol=TOLERANCE, rtol=TOLERANCE)
