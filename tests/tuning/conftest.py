"""Tiny real encoders of every family, loaded anew for each test: tuning changes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from iisan.encoders.config import EncoderConfig, Kind
from iisan.encoders.image import ImageEncoder
from iisan.encoders.load import load_encoder
from iisan.encoders.text import TextEncoder
from tests.tiny_encoders import IMAGE_MODELS, TEXT_MODELS

LoadEncoder = Callable[[Kind, str], TextEncoder | ImageEncoder]
FAMILIES: list[tuple[Kind, str]] = [
    *(("text", name) for name in TEXT_MODELS),
    *(("image", name) for name in IMAGE_MODELS),
]


@pytest.fixture(scope="session")
def model_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    makers = {"text": TEXT_MODELS, "image": IMAGE_MODELS}
    root = tmp_path_factory.mktemp("tuned")
    return {(kind, name): makers[kind][name](root / f"{kind}-{name}") for kind, name in FAMILIES}


@pytest.fixture
def load(model_folders: dict[tuple[str, str], Path]) -> LoadEncoder:
    def load_one(kind: Kind, name: str) -> TextEncoder | ImageEncoder:
        config = EncoderConfig(
            model=str(model_folders[kind, name]), kind=kind, pooling="mean", taps=[-1], max_tokens=20, device="cpu"
        )
        return load_encoder(config)

    return load_one
