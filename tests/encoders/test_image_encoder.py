from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from iisan.encoders import EncoderConfig, ImageEncoder, find_constant_taps, load_encoder
from iisan.errors import UserError
from tiny_encoders import IMAGE_MODELS, NO_FIRST_IMAGE, resnet

Make = Callable[..., ImageEncoder]


def slow_pixels(path: Path, side: int) -> torch.Tensor:
    """What ViT's processor does, by hand: resize, scale to [-1, 1]."""
    image = Image.open(path).convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.asarray(image).astype(np.float32) / 255 * 2 - 1).permute(2, 0, 1)[None]


@pytest.mark.parametrize("pooling", ["first", "mean", "last"])
def test_vit_agrees_with_a_picture_by_picture_reference(
    pooling: str, image_encoder: Make, picture_files: list[Path]
) -> None:
    encoder = image_encoder("vit", pooling=pooling, taps="all", batch_size=4)
    rows = []
    for path in picture_files:
        with torch.no_grad():
            states = encoder.module(pixel_values=slow_pixels(path, 32), output_hidden_states=True).hidden_states
        pick: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
            "first": lambda tokens: tokens[0],
            "mean": lambda tokens: tokens.mean(0),
            "last": lambda tokens: tokens[-1],
        }
        rows.append(torch.stack([pick[pooling](state[0]) for state in states]))
    torch.testing.assert_close(encoder.encode(picture_files), torch.stack(rows), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", sorted(IMAGE_MODELS))
def test_numbers_do_not_depend_on_batching(name: str, image_encoder: Make, picture_files: list[Path]) -> None:
    pooling = "mean" if name in NO_FIRST_IMAGE else "first"
    encoder = image_encoder(name, pooling=pooling, taps="all", batch_size=4)
    alone = torch.cat([encoder.encode([path]) for path in picture_files])
    torch.testing.assert_close(encoder.encode(picture_files), alone, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(encoder.forward_taps(encoder.prepare(picture_files)), alone, rtol=1e-4, atol=1e-4)
    assert alone.shape == (9, encoder.n_states, encoder.width)
    assert (alone[:, -1].std(dim=0) > 0).all()


@pytest.mark.parametrize("name", sorted(set(IMAGE_MODELS) - NO_FIRST_IMAGE))
def test_class_token_of_the_embedding_layer_is_constant(
    name: str, image_encoder: Make, picture_files: list[Path]
) -> None:
    encoder = image_encoder(name, taps="all")
    taps, vectors = find_constant_taps(encoder)
    assert taps == (0,)
    assert torch.equal(encoder.encode(picture_files)[:, 0], vectors.expand(9, -1))


def test_siglip_has_no_class_token(image_encoder: Make) -> None:
    with pytest.raises(UserError, match=r"no class token.*'mean'"):
        image_encoder("siglip", pooling="first")


@pytest.mark.parametrize(("name", "side"), [("vit", 48), ("clip", 48), ("dinov2", 42), ("beit", 32)])
def test_other_picture_sizes(name: str, side: int, image_encoder: Make, picture_files: list[Path]) -> None:
    encoder = image_encoder(name, image_size=side)
    assert encoder.prepare(picture_files[:2])["pixel_values"].shape == (2, 3, side, side)
    states = encoder.encode(picture_files[:2])
    assert torch.isfinite(states).all()
    assert not torch.equal(states[0, -1], states[1, -1])


def test_cropping_processors_keep_their_proportion(image_encoder: Make, picture_files: list[Path]) -> None:
    assert image_encoder("dinov2").prepare(picture_files[:2])["pixel_values"].shape == (2, 3, 28, 28)
    larger = image_encoder("dinov2", image_size=56).identity["preprocessing"]
    assert larger["size"] == {"shortest_edge": 64}
    assert larger["crop_size"] == {"height": 56, "width": 56}


def test_sizes_that_the_model_cannot_take_are_refused(image_encoder: Make) -> None:
    with pytest.raises(UserError, match="image_size"):
        image_encoder("dinov2", image_size=8)


def test_open_pictures_are_taken_too(image_encoder: Make, picture_files: list[Path]) -> None:
    encoder = image_encoder("vit")
    with Image.open(picture_files[0]) as image:
        assert torch.equal(encoder.encode([image]), encoder.encode(picture_files[:1]))


def test_damaged_picture_in_a_later_batch_is_named(
    image_encoder: Make, picture_files: list[Path], tmp_path: Path
) -> None:
    damaged = tmp_path / "half.png"
    whole = picture_files[0].read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"half\.png"):
        image_encoder("vit", batch_size=2).encode([*picture_files[:5], damaged])


def test_identity_says_what_changes_the_pixels(image_encoder: Make) -> None:
    base = image_encoder("vit").identity
    assert image_encoder("vit", image_size=48).identity != base
    assert image_encoder("vit", batch_size=1).identity == base
    assert base["preprocessing"]["size"] == {"height": 32, "width": 32}
    assert "crop_size" not in base["preprocessing"]


def test_gradients_reach_an_unfrozen_model(image_encoder: Make, picture_files: list[Path]) -> None:
    encoder = image_encoder("vit")
    encoder.module.requires_grad_(True)
    encoder.forward_taps(encoder.prepare(picture_files[:1]))[:, -1].sum().backward()
    embeddings: Any = encoder.module.embeddings
    assert embeddings.patch_embeddings.projection.weight.grad.abs().sum() > 0


def test_convolutional_models_are_refused(tmp_path: Path) -> None:
    folder = resnet(tmp_path / "resnet")
    with pytest.raises(UserError, match="one width through all of its layers"):
        load_encoder(EncoderConfig(model=str(folder), kind="image", pooling="mean", device="cpu"))
