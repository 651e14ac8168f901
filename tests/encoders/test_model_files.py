from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from iisan.encoders import EncoderConfig, load_encoder
from iisan.errors import UserError
from tiny_encoders import bert

Folder = Callable[[str], Path]


def load(model: Path | str, kind: str = "text", **options: object) -> object:
    return load_encoder(EncoderConfig(model=str(model), kind=kind, device="cpu", **options))  # type: ignore[arg-type]


def test_identity_follows_the_content_not_the_place(model_folder: Folder, tmp_path: Path) -> None:
    one = load(model_folder("bert"))
    moved = shutil.copytree(model_folder("bert"), tmp_path / "elsewhere" / "bert")
    assert load(moved).identity == one.identity  # type: ignore[attr-defined]
    weights = load_file(moved / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][0, 0] += 1
    save_file(weights, moved / "model.safetensors", metadata={"format": "pt"})
    assert load(moved).identity != one.identity  # type: ignore[attr-defined]


def test_pickled_weights_are_refused(model_folder: Folder, tmp_path: Path) -> None:
    folder = shutil.copytree(model_folder("bert"), tmp_path / "bert")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"only pickled weights \(pytorch_model.bin\)"):
        load(folder)


def test_missing_weights_are_not_drawn_at_random(model_folder: Folder, tmp_path: Path) -> None:
    folder = shutil.copytree(model_folder("bert"), tmp_path / "bert")
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 tensors.*encoder.layer.1.output.dense.weight"):
        load(folder)


def test_truncated_weights(model_folder: Folder, tmp_path: Path) -> None:
    folder = shutil.copytree(model_folder("bert"), tmp_path / "bert")
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="cannot be loaded from its weights"):
        load(folder)


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json"])
def test_incomplete_folder(missing: str, model_folder: Folder, tmp_path: Path) -> None:
    folder = shutil.copytree(model_folder("bert"), tmp_path / "bert")
    (folder / missing).unlink()
    with pytest.raises(UserError, match=r"config\.json|tokenizer"):
        load(folder)


def test_folder_without_image_processor(model_folder: Folder, tmp_path: Path) -> None:
    folder = shutil.copytree(model_folder("vit"), tmp_path / "vit")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(UserError, match=r"preprocessor_config\.json"):
        load(folder, "image")


def test_remote_code_is_never_run(tmp_path: Path) -> None:
    folder = bert(tmp_path / "bert")
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    (folder / "config.json").write_text(
        '{"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}}'
    )
    with pytest.raises(UserError, match="without remote code"):
        load(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("name", "kind"), [("bert", "image"), ("vit", "text")])
def test_model_of_the_other_kind(name: str, kind: str, model_folder: Folder) -> None:
    with pytest.raises(UserError, match=f"does not read {kind}"):
        load(model_folder(name), kind)


@pytest.mark.parametrize("model", ["/no/such/folder", "./no-folder", "a/b/c"])
def test_absent_folder(model: str) -> None:
    with pytest.raises(UserError, match="model folder does not exist"):
        load(model)


def test_unknown_device(model_folder: Folder) -> None:
    with pytest.raises(UserError, match="no device 'gpu'"):
        load_encoder(EncoderConfig(model=str(model_folder("bert")), kind="text", device="gpu"))


@pytest.fixture
def offline_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache in a fresh folder, and no network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_hub_model_that_cannot_be_downloaded(offline_hub: Path) -> None:
    with pytest.raises(UserError, match=r"org/name.*wheel:minilm-l6") as caught:
        load("org/name")
    assert "\n" not in str(caught.value)


def test_malformed_hub_id(offline_hub: Path) -> None:
    with pytest.raises(UserError, match="hub id"):
        load("org/na me")


def test_cached_hub_model_is_known_by_its_commit(offline_hub: Path, model_folder: Folder) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = offline_hub / "models--org--bert"
    shutil.copytree(model_folder("bert"), repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    identity = load("org/bert").identity  # type: ignore[attr-defined]
    assert identity["model"] == "org/bert"
    assert identity["revision"] == f"commit:{commit}"
    with pytest.raises(UserError, match="revision other"):
        load("org/bert", revision="other")
