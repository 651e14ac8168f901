from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from iisan.encoders import TextEncoder, find_constant_taps
from iisan.encoders.text import CHARACTERS_A_TOKEN
from iisan.errors import UserError
from tiny_encoders import CAUSAL, NO_FIRST_TEXT, TEXT_MODELS, texts

Make = Callable[..., TextEncoder]
MASKED = sorted(set(TEXT_MODELS) - {"siglip"})


def slow_taps(encoder: TextEncoder, folder: Path, text: str, max_tokens: int) -> torch.Tensor:
    """One text at a time, never padded, all states kept, pooled by hand."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(text, truncation=True, max_length=max_tokens)["input_ids"]
    with torch.no_grad():
        states = encoder.module(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
    rows = []
    for tap in encoder.taps:
        tokens = list(states[tap][0])
        pooling = encoder.config.pooling
        rows.append(torch.stack(tokens).mean(0) if pooling == "mean" else tokens[0 if pooling == "first" else -1])
    return torch.stack(rows)


@pytest.mark.parametrize(
    ("name", "pooling"),
    [(n, p) for n in MASKED for p in ("first", "mean", "last") if not (p == "first" and n in CAUSAL)],
)
def test_a_batch_gives_what_each_text_gives_alone(
    name: str, pooling: str, text_encoder: Make, model_folder: Callable[[str], Path]
) -> None:
    encoder = text_encoder(name, pooling=pooling, taps="all", batch_size=3, max_tokens=20)
    contents = texts(8)
    expected = torch.stack([slow_taps(encoder, model_folder(name), text, 20) for text in contents])
    torch.testing.assert_close(encoder.encode(contents), expected, rtol=1e-4, atol=1e-4)
    direct = encoder.forward_taps(encoder.prepare(contents))
    torch.testing.assert_close(direct, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(expected[:, 1], expected[:, -1], atol=0.1)  # the layers do differ


@pytest.mark.parametrize("name", sorted(CAUSAL))
def test_first_token_of_a_causal_model_is_refused(name: str, text_encoder: Make) -> None:
    with pytest.raises(UserError, match=r"causal.*'last' or 'mean'"):
        text_encoder(name, pooling="first")


def test_siglip_text_is_padded_to_full_length_and_unmasked(text_encoder: Make) -> None:
    encoder = text_encoder("siglip", pooling="last", taps="all", batch_size=2)
    assert encoder.prepare(["red toy"])["input_ids"].shape == (1, 40)
    contents = texts(5)
    alone = torch.cat([encoder.encode([text]) for text in contents])
    torch.testing.assert_close(encoder.encode(contents), alone, rtol=1e-4, atol=1e-4)


def test_tap_k_is_the_output_of_layer_k(text_encoder: Make) -> None:
    encoder = text_encoder("bert", pooling="first", taps="all")
    batch = encoder.prepare(["red wooden train"])
    module: Any = encoder.module
    with torch.no_grad():
        state = module.embeddings(batch["input_ids"])
        expected = [state[0, 0]]
        for layer in module.encoder.layer:
            out = layer(state)
            state = out[0] if isinstance(out, tuple) else out
            expected.append(state[0, 0])
    torch.testing.assert_close(encoder.encode(["red wooden train"])[0], torch.stack(expected), rtol=1e-5, atol=1e-5)


def test_only_the_tapped_states_come_back(text_encoder: Make) -> None:
    contents = texts(3)
    every = text_encoder("bert", pooling="mean", taps="all").encode(contents)
    some = text_encoder("bert", pooling="mean", taps=[1, -1])
    assert some.taps == (1, 4)
    torch.testing.assert_close(some.encode(contents), every[:, [1, 4]])


def test_texts_are_cut_and_lower_cased(text_encoder: Make, model_folder: Callable[[str], Path]) -> None:
    encoder = text_encoder("bert", max_tokens=6)
    assert encoder.prepare(["toy " * 30])["input_ids"].shape == (1, 6)
    plain, lower = (text_encoder("gpt2", pooling="mean", lowercase=flag) for flag in (False, True))
    assert torch.equal(lower.encode(["RED Toy"]), plain.encode(["red toy"]))
    assert not torch.equal(plain.encode(["RED Toy"]), plain.encode(["red toy"]))


def test_a_text_without_tokens_has_finite_states(text_encoder: Make) -> None:
    for pooling in ("mean", "last"):
        states = text_encoder("gpt2", pooling=pooling).encode(["", "red toy"])
        assert torch.isfinite(states).all()


def test_too_many_tokens_for_the_model(text_encoder: Make) -> None:
    with pytest.raises(UserError, match="64 positions"):
        text_encoder("bert", max_tokens=65)
    # RoBERTa's first position is the one after its padding index
    assert text_encoder("roberta", max_tokens=49).encode(["toy " * 60]).isfinite().all()
    with pytest.raises(UserError, match="49 positions"):
        text_encoder("roberta", max_tokens=50)


def test_model_is_frozen_but_can_be_unfrozen(text_encoder: Make) -> None:
    encoder = text_encoder("bert", pooling="mean")
    assert not encoder.module.training
    assert not any(parameter.requires_grad for parameter in encoder.module.parameters())
    batch = encoder.prepare(["red toy"])
    assert not encoder.forward_taps(batch).requires_grad
    encoder.module.requires_grad_(True)
    encoder.forward_taps(batch)[:, -1].sum().backward()
    query = encoder.module.encoder.layer[0].attention.self.query.weight  # type: ignore[union-attr,index]
    assert query.grad.abs().sum() > 0


def test_encoded_states_can_be_trained_from(text_encoder: Make) -> None:
    states = text_encoder("bert", pooling="mean").encode(["red toy", "blue book"])
    layer = torch.nn.Linear(states.shape[-1], 1)
    layer(states).sum().backward()  # inference tensors would refuse
    assert layer.weight.grad is not None
    assert states.dtype == torch.float32


def test_bfloat16_is_near_float32(text_encoder: Make) -> None:
    contents = texts(4)
    exact = text_encoder("bert", pooling="mean", dtype="float32").encode(contents)
    rough = text_encoder("bert", pooling="mean", dtype="bfloat16")
    assert next(rough.module.parameters()).dtype == torch.bfloat16
    difference = (rough.encode(contents) - exact).norm() / exact.norm()
    assert 0 < difference < 0.05


def test_on_batch_counts_every_text(text_encoder: Make) -> None:
    counts: list[int] = []
    assert text_encoder("bert", batch_size=3).encode(texts(8), on_batch=counts.append).shape[0] == 8
    assert counts == [3, 3, 2]
    assert text_encoder("bert").encode([]).shape == (0, 3, 16)


def test_identity_says_what_changes_the_numbers(text_encoder: Make) -> None:
    base = text_encoder("bert").identity
    assert json.loads(json.dumps(base)) == base
    for change in ({"pooling": "mean"}, {"taps": "all"}, {"max_tokens": 9}, {"lowercase": True}):
        assert text_encoder("bert", **change).identity != base
    assert text_encoder("bert", batch_size=2).identity == base


@pytest.mark.parametrize("name", sorted(set(TEXT_MODELS) - NO_FIRST_TEXT - CAUSAL - {"t5", "siglip"}))
def test_class_token_of_the_embedding_layer_is_constant(name: str, text_encoder: Make) -> None:
    encoder = text_encoder(name, taps="all")
    taps, vectors = find_constant_taps(encoder)
    assert taps == (0,)
    states = encoder.encode(texts(6))
    assert torch.equal(states[:, 0], vectors.expand(6, -1))
    assert (states[:, 1].std(dim=0) > 0).any()


def test_mean_pooling_has_no_constant_taps(text_encoder: Make) -> None:
    assert find_constant_taps(text_encoder("bert", pooling="mean"))[0] == ()


def test_a_first_word_is_no_constant(text_encoder: Make) -> None:
    assert find_constant_taps(text_encoder("t5", pooling="first"))[0] == ()


def test_all_taps_constant_is_refused(text_encoder: Make) -> None:
    with pytest.raises(UserError, match="same for every item"):
        find_constant_taps(text_encoder("bert", taps=[0]))


@pytest.mark.parametrize("name", MASKED)
def test_a_text_that_is_not_read_to_its_end_has_the_same_tokens(
    name: str, text_encoder: Make, model_folder: Callable[[str], Path]
) -> None:
    encoder = text_encoder(name, pooling="last" if name in CAUSAL else "mean", taps="all", max_tokens=20)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_folder(name))
    limit = CHARACTERS_A_TOKEN * 20
    long = " ".join(texts(50)) * 40
    for text in (long, " " * (limit + 9) + "red toy", "x" * (limit + 9) + " toy", long[: limit - 1] + "   toy", "red"):
        expected = tokenizer(text, truncation=True, max_length=20)["input_ids"]
        assert encoder.prepare([text])["input_ids"][0].tolist() == expected
