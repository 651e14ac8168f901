"""What each method changes, and what it must leave alone, on every family of encoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from iisan.encoders.config import Kind
from iisan.encoders.encoder import Encoder
from iisan.errors import UserError
from iisan.tuning.adapter import AdapterTuning
from iisan.tuning.bitfit import BitFit
from iisan.tuning.full import FullTuning
from iisan.tuning.gradient_checkpointing import checkpoint_blocks
from iisan.tuning.method import TuningMethod, trained_names
from iisan.tuning.peft_method import PeftMethod
from iisan.tuning.transformer_blocks import transformer_blocks
from tests.tiny_encoders import LAYERS, WIDTH
from tests.tuning.conftest import FAMILIES, LoadEncoder

METHODS: dict[str, type[Any]] = {"full": FullTuning, "adapter": AdapterTuning, "lora": PeftMethod, "bitfit": BitFit}
WITHOUT_BIASES = {"llama", "t5"}


def probes(encoder: Encoder) -> list[Any]:
    return list(encoder.probe_contents())


def output(encoder: Encoder) -> Tensor:
    with torch.no_grad():
        return encoder.forward_taps(encoder.prepare(probes(encoder)))  # [2, 1, D]


def weights(module: nn.Module) -> dict[int, Tensor]:
    return {id(parameter): parameter.detach().clone() for parameter in module.parameters()}


def step(encoder: Encoder) -> None:
    """Two small steps towards other outputs."""
    torch.manual_seed(0)
    target = torch.randn(encoder.width)
    trained = [parameter for parameter in encoder.module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=0.01)
    for _ in range(2):  # LoRA's first factor has no gradient before the second has moved
        optimizer.zero_grad()
        loss = (encoder.forward_taps(encoder.prepare(probes(encoder)))[:, -1] - target).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


@pytest.mark.parametrize(("kind", "family"), FAMILIES)
@pytest.mark.parametrize("method", ["adapter", "lora"])
def test_at_the_start_the_output_is_bit_for_bit_the_pretrained_one(
    load: LoadEncoder, kind: Kind, family: str, method: str
) -> None:
    encoder = load(kind, family)
    before = output(encoder)
    METHODS[method]().attach(encoder)
    assert torch.equal(output(encoder), before)


@pytest.mark.parametrize(("kind", "family"), FAMILIES)
@pytest.mark.parametrize("method", METHODS)
def test_only_what_the_method_names_gets_gradients_and_changes(
    load: LoadEncoder, kind: Kind, family: str, method: str
) -> None:
    if method == "bitfit" and family in WITHOUT_BIASES:
        pytest.skip("a family without biases; see the test on BitFit's refusal")
    encoder = load(kind, family)
    METHODS[method]().attach(encoder)
    before = weights(encoder.module)
    trained = set(trained_names(encoder.module))
    step(encoder)
    assert trained
    for name, parameter in encoder.module.named_parameters():
        if name in trained:
            assert parameter.grad is not None, name
        else:
            assert parameter.grad is None, name
            assert torch.equal(parameter, before[id(parameter)]), name
    changed = {
        name
        for name, parameter in encoder.module.named_parameters()
        if not torch.equal(parameter, before[id(parameter)])
    }
    # The bias of keys shifts all scores of a query alike, which the softmax does not see; unused words do not move.
    still = {name for name in trained - changed if not _may_stand_still(name)}
    assert not still


def _may_stand_still(name: str) -> bool:
    return any(part in name for part in ("key.bias", "k_proj.bias", "k_lin.bias", "embed", "wte", "wpe", "shared"))


@pytest.mark.parametrize(("kind", "family"), FAMILIES)
@pytest.mark.parametrize("method", METHODS)
def test_saved_and_loaded_it_gives_the_same_output(
    load: LoadEncoder, kind: Kind, family: str, method: str, tmp_path: Path
) -> None:
    if method == "bitfit" and family in WITHOUT_BIASES:
        pytest.skip("a family without biases; see the test on BitFit's refusal")
    tuned, fresh = load(kind, family), load(kind, family)
    METHODS[method]().attach(tuned)
    step(tuned)
    METHODS[method]().save(tuned.module, tmp_path)
    assert not torch.allclose(output(fresh), output(tuned))
    METHODS[method]().load(fresh, tmp_path)
    assert torch.equal(output(fresh), output(tuned))
    assert trained_names(fresh.module) == trained_names(tuned.module)


@pytest.mark.parametrize(("kind", "family"), [("text", "bert"), ("text", "gpt2"), ("text", "llama"), ("image", "vit")])
def test_checkpointed_blocks_give_the_same_gradients(load: LoadEncoder, kind: Kind, family: str) -> None:
    gradients = []
    for checkpointed in (False, True):
        encoder = load(kind, family)
        if checkpointed:
            checkpoint_blocks(encoder)
        torch.manual_seed(1)
        PeftMethod("lora").attach(encoder)
        step(encoder)
        gradients.append([parameter.grad for parameter in encoder.module.parameters() if parameter.requires_grad])
    assert gradients[0]
    for kept, recomputed in zip(*gradients, strict=True):
        assert kept is not None
        assert recomputed is not None
        torch.testing.assert_close(recomputed, kept)


def test_counts_follow_the_hand_formulas(load: LoadEncoder) -> None:
    inner, rank, feed_forward = 64, 8, 32
    # Down and up with biases, twice a block.
    adapters = LAYERS * 2 * (WIDTH * inner + inner + inner * WIDTH + WIDTH)
    # Two factors for queries and for values.
    lora = LAYERS * 2 * (WIDTH * rank + rank * WIDTH)
    # Embedding norm; then q, k, v, output, norm, two feed-forward layers, norm of each block.
    biases = WIDTH + LAYERS * (4 * WIDTH + WIDTH + feed_forward + WIDTH + WIDTH)
    for method, expected in (("adapter", adapters), ("lora", lora), ("bitfit", biases)):
        encoder = load("text", "bert")
        METHODS[method]().attach(encoder)
        trained = sum(parameter.numel() for parameter in encoder.module.parameters() if parameter.requires_grad)
        assert trained == expected, method


def test_full_tuning_leaves_out_what_no_tap_depends_on(load: LoadEncoder) -> None:
    encoder = load("image", "dinov2")
    FullTuning().attach(encoder)
    frozen = {name for name, parameter in encoder.module.named_parameters() if not parameter.requires_grad}
    assert any("mask_token" in name for name in frozen)
    assert not any("q_proj" in name for name in frozen)


@pytest.mark.parametrize("name", ["dora", "ia3", "vera", "loha"])
def test_other_methods_of_peft_go_by_name(load: LoadEncoder, name: str, tmp_path: Path) -> None:
    encoder, fresh = load("text", "bert"), load("text", "bert")
    before = output(encoder)
    PeftMethod(name).attach(encoder)
    torch.testing.assert_close(output(encoder), before, rtol=1e-5, atol=1e-5)
    step(encoder)
    assert not torch.allclose(output(encoder), before)
    PeftMethod(name).save(encoder.module, tmp_path)
    PeftMethod(name).load(fresh, tmp_path)
    assert torch.equal(output(fresh), output(encoder))


def test_a_peft_checkpoint_holds_the_adapter_only(load: LoadEncoder, tmp_path: Path) -> None:
    encoder = load("text", "bert")
    PeftMethod("lora").attach(encoder)
    PeftMethod("lora").save(encoder.module, tmp_path)
    files = {path.name for path in tmp_path.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors"} <= files
    numbers = LAYERS * 2 * 2 * WIDTH * 8
    assert (tmp_path / "adapter_model.safetensors").stat().st_size < 4 * numbers + 8192


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: PeftMethod("magic"), "no method 'magic'"),
        (lambda: PeftMethod("prefix_tuning"), "does not adapt projections"),
        (lambda: PeftMethod("lora", {"rank": 4}), "no option 'rank'"),
    ],
)
def test_a_method_that_peft_lacks_is_one_clear_line(make: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        make()


def test_bitfit_refuses_a_model_without_biases(load: LoadEncoder) -> None:
    with pytest.raises(UserError, match="no biases"):
        BitFit().attach(load("text", "llama"))


@pytest.mark.parametrize("method", ["full", "adapter"])
def test_weights_of_another_model_are_refused(load: LoadEncoder, method: str, tmp_path: Path) -> None:
    of: TuningMethod = METHODS[method]()
    other = load("image", "clip")
    of.attach(other)
    of.save(other.module, tmp_path)
    with pytest.raises(UserError, match="another model"):
        METHODS[method]().load(load("image", "vit"), tmp_path)


@pytest.mark.parametrize(("kind", "family"), FAMILIES)
def test_blocks_are_found_by_structure(load: LoadEncoder, kind: Kind, family: str) -> None:
    encoder = load(kind, family)
    blocks = transformer_blocks(encoder)
    assert len(blocks) == encoder.n_states - 1
    for block in blocks:
        assert len({block.attention_output, block.feed_forward_output, *block.feed_forward_input}) >= 3
        shared = family == "gpt2"
        assert len({block.queries, block.keys, block.values}) == (1 if shared else 3)
