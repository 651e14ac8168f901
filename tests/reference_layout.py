"""Random weights under the parameter names of the authors' public implementation."""

from __future__ import annotations

import torch
from torch import Tensor


def reference_weights(
    width: int = 16, dim: int = 8, inner: int = 4, n_blocks: int = 3, length: int = 6
) -> dict[str, Tensor]:
    """A symmetric two-modality model: all towers, one layer in the sequence encoder."""
    generator = torch.Generator().manual_seed(8)
    weights: dict[str, Tensor] = {}

    def linear(name: str, n_out: int, n_in: int, bias: bool = True) -> None:
        weights[f"{name}.weight"] = 0.3 * torch.randn(n_out, n_in, generator=generator)
        if bias:
            weights[f"{name}.bias"] = 0.3 * torch.randn(n_out, generator=generator)

    def norm(name: str) -> None:
        weights[f"{name}.weight"] = 1 + 0.1 * torch.randn(dim, generator=generator)
        weights[f"{name}.bias"] = 0.1 * torch.randn(dim, generator=generator)

    for tower, gates in (("cv", "cv"), ("bert", "text"), ("mm", "mm")):
        for block in range(n_blocks):
            linear(f"mm_encoder.{tower}_adapter_list.{block}.fc_down", inner, width)
            linear(f"mm_encoder.{tower}_adapter_list.{block}.fc_up", width, inner)
            weights[f"mm_encoder.side_gate_params_{gates}.{block}"] = 0.1 * torch.randn(1, generator=generator)
        linear(f"mm_encoder.fc_{tower}", width, width)
        linear("mm_encoder.fc_mm_down" if tower == "mm" else f"mm_encoder.{tower}_pre_fc", dim, width)
    linear("com_dense", dim, 3 * dim)
    user = "user_encoder.transformer_encoder"
    norm(f"{user}.layer_norm")
    weights[f"{user}.position_embedding.weight"] = 0.3 * torch.randn(length, dim, generator=generator)
    block_name = f"{user}.transformer_blocks.0"
    for part in "QKV":
        linear(f"{block_name}.multi_head_attention.w_{part}", dim, dim, bias=False)
    linear(f"{block_name}.multi_head_attention.fc", dim, dim, bias=False)
    norm(f"{block_name}.multi_head_attention.layer_norm")
    linear(f"{block_name}.feed_forward.w_1", 4 * dim, dim)
    linear(f"{block_name}.feed_forward.w_2", dim, 4 * dim)
    norm(f"{block_name}.feed_forward.layer_norm")
    return weights


def reference_items(weights: dict[str, Tensor], taps: dict[str, list[Tensor]]) -> Tensor:
    """Item embeddings ``[n, d]`` of items that have all, straight from the contract (docs/design.md, points 2 to 7)."""

    def linear(name: str, x: Tensor) -> Tensor:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def block(tower: str, k: int, x: Tensor) -> Tensor:
        name = f"mm_encoder.{tower}_adapter_list.{k}"
        return x + linear(f"{name}.fc_up", torch.relu(linear(f"{name}.fc_down", x)))

    def gate(name: str, k: int) -> Tensor:
        return torch.sigmoid(weights[f"mm_encoder.side_gate_params_{name}.{k}"] / 0.1)

    image, text = taps["image"], taps["text"]
    hidden = {name: torch.zeros_like(image[-1]) for name in ("cv", "bert", "mm")}
    for k in range(len(image)):
        hidden["cv"] = block("cv", k, gate("cv", k) * image[k] + (1 - gate("cv", k)) * hidden["cv"])
        hidden["bert"] = block("bert", k, gate("text", k) * text[k] + (1 - gate("text", k)) * hidden["bert"])
        mixed = gate("mm", k) * image[k] + (1 - gate("mm", k)) * text[k]
        hidden["mm"] = block("mm", k, hidden["mm"] + mixed)
    parts = [
        linear("mm_encoder.cv_pre_fc", linear("mm_encoder.fc_cv", hidden["cv"])),
        linear("mm_encoder.bert_pre_fc", linear("mm_encoder.fc_bert", hidden["bert"])),
        linear("mm_encoder.fc_mm_down", linear("mm_encoder.fc_mm", hidden["mm"])),
    ]
    return linear("com_dense", torch.cat(parts, dim=1))
