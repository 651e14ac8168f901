"""An encoder made again from its identity is the same encoder, or an error."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from iisan.encoders import EncoderConfig, ImageEncoder, TextEncoder
from iisan.encoders.rebuild import differing_keys, rebuild_encoder
from iisan.errors import UserError
from tiny_encoders import pictures


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("bert", {"pooling": "first", "taps": [1, 3], "max_tokens": 9, "lowercase": True}),
        ("gpt2", {"pooling": "last", "taps": "all"}),
        ("siglip", {"pooling": "mean"}),
    ],
)
def test_texts(
    name: str,
    options: dict[str, Any],
    text_encoder: Callable[..., TextEncoder],
    model_folder: Callable[[str], Path],
) -> None:
    one = text_encoder(name, **options)
    # Through JSON, as a model keeps it.
    again = rebuild_encoder(json.loads(json.dumps(one.identity)), model=str(model_folder(name)), device="cpu")
    assert again.identity == one.identity
    contents = ["A RED toy train", "the whale of steel and a book with a lamp for kids, tiny"]
    assert torch.equal(again.encode(contents), one.encode(contents))


@pytest.mark.parametrize("image_size", [None, 56, 48])
@pytest.mark.parametrize("name", ["vit", "dinov2", "clip"])
def test_pictures_of_any_size(
    name: str,
    image_size: int | None,
    image_encoder: Callable[..., ImageEncoder],
    model_folder: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    one = image_encoder(name, image_size=image_size, pooling="mean")
    again = rebuild_encoder(json.loads(json.dumps(one.identity)), model=str(model_folder(name)), device="cpu")
    assert again.identity == one.identity
    files = pictures(tmp_path, 3)
    assert torch.equal(again.encode(files), one.encode(files))


def test_the_same_files_under_another_name_are_the_same_model(
    text_encoder: Callable[..., TextEncoder], model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    one = text_encoder("bert")
    moved = shutil.copytree(model_folder("bert"), tmp_path / "moved")
    assert rebuild_encoder(one.identity, model=str(moved), device="cpu").identity["model"] == "moved"
    config = json.loads((moved / "config.json").read_text(encoding="utf-8"))
    (moved / "config.json").write_text(json.dumps({**config, "hidden_act": "relu"}), encoding="utf-8")
    with pytest.raises(UserError, match="another encoder than the model was trained with: model, revision differ"):
        rebuild_encoder(one.identity, model=str(moved), device="cpu")


def test_where_a_folder_was_is_not_known(text_encoder: Callable[..., TextEncoder]) -> None:
    with pytest.raises(UserError, match=r"loaded from a folder named 'bert'; say where that is now, with --encoder"):
        rebuild_encoder(text_encoder("bert").identity)


def test_a_commit_of_the_hub_is_asked_for(monkeypatch: pytest.MonkeyPatch, model_folder: Callable[[str], Path]) -> None:
    asked: list[EncoderConfig] = []

    def locate(config: EncoderConfig) -> Any:
        asked.append(config)
        raise UserError("asked")

    monkeypatch.setattr("iisan.encoders.load.locate_model", locate)
    identity = {
        "model": "org/name",
        "revision": "commit:abc",
        "kind": "text",
        "pooling": "first",
        "taps": [0, 2],
        "preprocessing": {"max_tokens": 30, "lowercase": True},
    }
    with pytest.raises(UserError, match="asked"):
        rebuild_encoder(identity)
    assert (asked[0].model, asked[0].revision, asked[0].taps, asked[0].lowercase) == ("org/name", "abc", [0, 2], True)


def test_what_differs_is_named_also_below_the_top() -> None:
    one = {"model": "a", "revision": "commit:1", "preprocessing": {"size": {"height": 3}, "resample": 2}}
    other = {"model": "b", "revision": "commit:1", "preprocessing": {"size": {"height": 4}, "resample": 2}}
    assert differing_keys(one, one) == []
    assert differing_keys(one, other) == ["model", "height"]
    assert differing_keys({**one, "revision": "sha256:1"}, {**one, "revision": "sha256:1", "model": "c"}) == []
