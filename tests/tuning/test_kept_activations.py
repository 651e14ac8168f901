"""What a step keeps for its backward pass: nothing of frozen parts that no gradient passes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from iisan.encoders.config import Kind
from iisan.states.live_source import LiveSource
from iisan.tuning.choose import tuning_method
from iisan.tuning.tuned_source import TunedSource
from tests.tiny_encoders import pictures, texts
from tests.tuning.conftest import LoadEncoder

N = 8
CASES: list[tuple[Kind, str]] = [("text", "bert"), ("image", "vit"), ("image", "dinov2"), ("text", "llama")]


class Kept:
    """Bytes that were kept while a part ran, weights left out: those are there anyway."""

    def __init__(self, module: nn.Module) -> None:
        self.weights = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}
        self.weights |= {buffer.untyped_storage().data_ptr() for buffer in module.buffers()}
        self.bytes: dict[str, int] = {}
        self.part = ""

    def __call__(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.weights:
            self.bytes[self.part] = self.bytes.get(self.part, 0) + tensor.nbytes
        return tensor

    def watch(self, name: str, part: nn.Module) -> None:
        """Counts what a part keeps apart from the rest."""

        def enter(*_: Any) -> None:
            self.part = name

        def leave(*_: Any) -> None:
            self.part = ""

        part.register_forward_pre_hook(enter)
        part.register_forward_hook(leave)


@contextmanager
def kept_by(module: nn.Module) -> Iterator[Kept]:
    kept = Kept(module)
    for name, part in module.named_modules():
        last = name.rsplit(".", 1)[-1]
        if last in ("embeddings", "embed_tokens"):
            kept.watch("embedding", part)
        elif last in ("query", "q_proj") and (".0." in name):
            kept.watch("first queries", part)
    with torch.autograd.graph.saved_tensors_hooks(kept, lambda tensor: tensor):
        yield kept


def contents(kind: Kind, folder: Path) -> list[Any]:
    return list(texts(N)) if kind == "text" else list(pictures(folder, N))


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_encoders_that_are_not_tuned_keep_nothing(load: LoadEncoder, kind: Kind, name: str, tmp_path: Path) -> None:
    encoder = load(kind, name)
    source = LiveSource({"m": encoder}, {"m": contents(kind, tmp_path)})
    with kept_by(encoder.module) as kept:
        states = source.gather(torch.arange(N))["m"]
    assert kept.bytes == {}
    assert not any(tap.requires_grad for tap in states.taps)
    assert not any(tap.is_inference() for tap in states.taps)  # A side network trains on them.


@pytest.mark.parametrize("method", ["adapter", "lora"])
@pytest.mark.parametrize(("kind", "name"), CASES)
def test_below_what_is_tuned_nothing_is_kept(
    load: LoadEncoder, kind: Kind, name: str, method: str, tmp_path: Path
) -> None:
    encoder = load(kind, name)
    source = TunedSource({"m": encoder}, {"m": contents(kind, tmp_path)}, tuning_method(method))
    with kept_by(encoder.module) as kept:
        source.gather(torch.arange(N))
    assert "embedding" not in kept.bytes
    assert ("first queries" in kept.bytes) == (method == "lora")
    assert kept.bytes[""] > 0


@pytest.mark.parametrize(("kind", "name"), CASES[:3])
def test_biases_keep_no_input_of_a_frozen_projection(load: LoadEncoder, kind: Kind, name: str, tmp_path: Path) -> None:
    kept_bytes = {}
    for method in ("bitfit", "full"):
        encoder = load(kind, name)
        source = TunedSource({"m": encoder}, {"m": contents(kind, tmp_path)}, tuning_method(method))
        with kept_by(encoder.module) as kept:
            source.gather(torch.arange(N))
        kept_bytes[method] = kept.bytes
    assert "first queries" not in kept_bytes["bitfit"]
    assert kept_bytes["full"]["first queries"] > 0
    assert kept_bytes["full"]["embedding"] > 0
    assert sum(kept_bytes["bitfit"].values()) < sum(kept_bytes["full"].values())


@pytest.mark.parametrize("method", ["adapter", "lora", "bitfit", "full"])
def test_nothing_is_kept_where_nothing_trains(load: LoadEncoder, method: str) -> None:
    encoder = load("text", "bert")
    source = TunedSource({"m": encoder}, {"m": texts(N)}, tuning_method(method))
    with torch.no_grad(), kept_by(encoder.module) as kept:
        source.gather(torch.arange(N))
    assert kept.bytes == {}
