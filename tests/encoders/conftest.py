from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from iisan.encoders import EncoderConfig, ImageEncoder, TextEncoder, load_encoder
from tiny_encoders import IMAGE_MODELS, TEXT_MODELS, pictures

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("models")
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            made[name] = {**TEXT_MODELS, **IMAGE_MODELS}[name](root / name)
        return made[name]

    return make


@pytest.fixture(scope="session")
def text_encoder(model_folder: Callable[[str], Path]) -> Callable[..., TextEncoder]:
    def make(name: str, **options: Any) -> TextEncoder:
        config = EncoderConfig(model=str(model_folder(name)), kind="text", device="cpu", **options)
        encoder = load_encoder(config)
        assert isinstance(encoder, TextEncoder)
        return encoder

    return make


@pytest.fixture(scope="session")
def image_encoder(model_folder: Callable[[str], Path]) -> Callable[..., ImageEncoder]:
    def make(name: str, **options: Any) -> ImageEncoder:
        config = EncoderConfig(model=str(model_folder(name)), kind="image", device="cpu", **options)
        encoder = load_encoder(config)
        assert isinstance(encoder, ImageEncoder)
        return encoder

    return make


@pytest.fixture(scope="session")
def picture_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return pictures(tmp_path_factory.mktemp("pictures"), 9)
