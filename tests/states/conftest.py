from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from iisan.encoders import EncoderConfig, ImageEncoder, TextEncoder, load_encoder
from tiny_encoders import bert, pictures, vit

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bert(tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture(scope="session")
def text_encoder(bert_folder: Path) -> Callable[..., TextEncoder]:
    def make(**options: Any) -> TextEncoder:
        encoder = load_encoder(
            EncoderConfig(model=str(bert_folder), kind="text", device="cpu", **{"taps": "all", **options})
        )
        assert isinstance(encoder, TextEncoder)
        return encoder

    return make


@pytest.fixture(scope="session")
def image_encoder(tmp_path_factory: pytest.TempPathFactory) -> ImageEncoder:
    folder = vit(tmp_path_factory.mktemp("models") / "vit")
    encoder = load_encoder(EncoderConfig(model=str(folder), kind="image", device="cpu", batch_size=4))
    assert isinstance(encoder, ImageEncoder)
    return encoder


@pytest.fixture(scope="session")
def picture_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return pictures(tmp_path_factory.mktemp("pictures"), 9)
