"""Reads weights in the layout of the authors' public implementation into ours.

Nothing but names and shapes is shared: their blocks, gates and heads are found by parameter name, widths and depths by
shape, so symmetric and asymmetric (Versa) checkpoints are one case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from iisan.errors import UserError
from iisan.models.config import ModalityConfig, RecommenderConfig, SasrecConfig, SideNetworkConfig, Towers

# Our tower name → the reference's block list, gates and head layers.
_BLOCKS = {"image": "cv_adapter_list", "text": "bert_adapter_list", "inter": "mm_adapter_list"}
_GATES = {
    "image": "side_gate_params_cv",
    "text": "side_gate_params_text",
    "inter": "side_gate_params_mm",
}
_HEADS = {"image": ("fc_cv", "cv_pre_fc"), "text": ("fc_bert", "bert_pre_fc"), "inter": ("fc_mm", "fc_mm_down")}
_TAPS = {"image": "side_adapter_vit_list", "text": "side_adapter_bert_list"}
_TOWERS: dict[str, Towers] = {"intra_inter": "both", "intra": "intra", "inter": "inter"}
_SIDE = "mm_encoder."
_USER = "user_encoder.transformer_encoder."


def reference_taps(weights: Mapping[str, Tensor], arguments: Mapping[str, str]) -> dict[str, list[int]]:
    """The hidden states that a reference checkpoint reads, by modality.

    Args:
        weights: The reference's parameters by its own names.
        arguments: The reference's command-line arguments; its layer lists count from 0, states from the embedding
            output, so ``"1,3,5"`` means states 2, 4, 6. State 0 comes first wherever there is a block for it.
    """
    taps = {}
    for name, argument in _TAPS.items():
        if argument not in arguments:
            raise UserError(
                f"argument {argument!r} is missing", where="reference checkpoint", how="pass its layer list"
            )
        listed = [int(part) + 1 for part in re.findall(r"\d+", arguments[argument])]
        n_blocks = _count(weights, _SIDE + _BLOCKS[name]) or len(listed) + 1
        if n_blocks not in (len(listed), len(listed) + 1):
            raise UserError(
                f"{n_blocks} blocks do not fit the layer list {arguments[argument]!r} of {argument}",
                where="reference checkpoint",
            )
        taps[name] = listed if n_blocks == len(listed) else [0, *listed]
    return taps


def reference_config(weights: Mapping[str, Tensor], arguments: Mapping[str, str]) -> RecommenderConfig:
    """The configuration of our model with the shapes of a reference checkpoint.

    Raises:
        UserError: A choice of the reference that our model does not have, or a parameter that is missing.
    """
    towers = _TOWERS.get(arguments.get("modality", "intra_inter"))
    if towers is None or arguments.get("fusion_method", "gated") != "gated":
        raise UserError(
            f"modality {arguments.get('modality')!r} with fusion {arguments.get('fusion_method')!r} is not supported",
            where="reference checkpoint",
            how="intra_inter, intra and inter with gated fusion are",
        )
    taps = reference_taps(weights, arguments)
    dim = int(arguments["embedding_dim"])
    modalities = {
        name: ModalityConfig(
            n_taps=len(taps[name]),
            width=int(arguments[f"{name}_embedding_dim"]),
            bottleneck=_bottleneck(weights, name),
            head_width=_head_width(weights, name, dim),
        )
        for name in _TAPS
    }
    inter_bottleneck, inter_head_width = _bottleneck(weights, "inter"), _head_width(weights, "inter", dim)
    return RecommenderConfig(
        item_encoder=SideNetworkConfig(
            modalities=modalities,
            towers=towers,
            inter_bottleneck=inter_bottleneck,
            inter_head_width=inter_head_width,
            activation="gelu" if arguments.get("adapter_activation", "RELU").upper() == "GELU" else "relu",
            dim=dim,
        ),
        sequence_encoder=SasrecConfig(
            dim=dim,
            max_length=int(arguments["max_seq_len"]),
            n_layers=int(arguments["transformer_block"]),
            n_heads=int(arguments["num_attention_heads"]),
            dropout=float(arguments["drop_rate"]),
        ),
    )


def from_reference(weights: Mapping[str, Tensor], dim: int) -> dict[str, Tensor]:
    """Renames the reference's parameters (or their gradients) to ours.

    Args:
        weights: By the reference's names. A subset is fine, as long as gates and attention projections are whole.
        dim: Item embedding width ``d``, which tells a one-layer head from a two-layer one.

    Returns:
        By our names, ready for :meth:`torch.nn.Module.load_state_dict`.
    """
    ours: dict[str, Tensor] = {}
    for tower in _BLOCKS:
        ours |= _tower(weights, tower, dim)
    ours |= _renamed(weights, "com_dense", "item_encoder.fusion")
    ours |= _dtl(weights)
    ours |= _sequence_encoder(weights)
    return ours


def _tower(weights: Mapping[str, Tensor], tower: str, dim: int) -> dict[str, Tensor]:
    prefix = "item_encoder.inter" if tower == "inter" else f"item_encoder.intra.{tower}"
    ours: dict[str, Tensor] = {}
    for block in range(_count(weights, _SIDE + _BLOCKS[tower])):
        theirs = f"{_SIDE}{_BLOCKS[tower]}.{block}"
        ours |= _renamed(weights, f"{theirs}.fc_down", f"{prefix}.blocks.{block}.down")
        ours |= _renamed(weights, f"{theirs}.fc_up", f"{prefix}.blocks.{block}.up")
    gates = _SIDE + _GATES[tower]
    n_gates = _count(weights, gates)
    if n_gates:
        logits = torch.cat([weights[f"{gates}.{block}"].reshape(1) for block in range(n_gates)])
        ours[f"{prefix}.gate.logits"] = logits.unsqueeze(1) if tower == "inter" else logits
    for number, layer in enumerate(_head_layers(weights, tower, dim)):
        ours |= _renamed(weights, _SIDE + layer, f"item_encoder.heads.{tower}.layers.{number}")
    return ours


def _dtl(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    theirs = _SIDE + "down_project_list"
    ours: dict[str, Tensor] = {}
    if not _count(weights, theirs):
        return ours
    width = weights[f"{theirs}.0.weight"].shape[1]
    wider = next(name for name in _TAPS if _width(weights, name) == width)
    for block in range(_count(weights, theirs)):
        ours |= _renamed(weights, f"{theirs}.{block}", f"item_encoder.inter.dtl.{wider}.layers.{block}")
    return ours


def _sequence_encoder(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    ours = _renamed(weights, _USER + "layer_norm", "sequence_encoder.norm")
    ours |= _renamed(weights, _USER + "position_embedding", "sequence_encoder.positions")
    for block in range(_count(weights, _USER + "transformer_blocks")):
        theirs, prefix = f"{_USER}transformer_blocks.{block}.", f"sequence_encoder.blocks.{block}."
        attention = theirs + "multi_head_attention."
        ours[prefix + "attention.query_key_value.weight"] = torch.cat(
            [weights[f"{attention}w_{part}.weight"] for part in "QKV"]
        )
        ours |= _renamed(weights, attention + "fc", prefix + "attention.output")
        ours |= _renamed(weights, attention + "layer_norm", prefix + "attention_norm")
        ours |= _renamed(weights, theirs + "feed_forward.w_1", prefix + "feed_forward.0")
        ours |= _renamed(weights, theirs + "feed_forward.w_2", prefix + "feed_forward.2")
        ours |= _renamed(weights, theirs + "feed_forward.layer_norm", prefix + "feed_forward_norm")
    return ours


def _head_layers(weights: Mapping[str, Tensor], tower: str, dim: int) -> tuple[str, ...]:
    """The layers of a head that really form a chain ``D → d``: the second one may be there and yet not fit."""
    first, second = (weights.get(f"{_SIDE}{layer}.weight") for layer in _HEADS[tower])
    if first is None:
        return ()
    if second is not None and second.shape == (dim, first.shape[0]):
        return _HEADS[tower]
    return _HEADS[tower][:1]


def _head_width(weights: Mapping[str, Tensor], tower: str, dim: int) -> int | None:
    layers = _head_layers(weights, tower, dim)
    return int(weights[f"{_SIDE}{layers[0]}.weight"].shape[0]) if len(layers) == 2 else None


def _bottleneck(weights: Mapping[str, Tensor], tower: str) -> int:
    down = weights.get(f"{_SIDE}{_BLOCKS[tower]}.0.fc_down.weight")
    return 64 if down is None else int(down.shape[0])


def _width(weights: Mapping[str, Tensor], tower: str) -> int:
    return int(weights[f"{_SIDE}{_BLOCKS[tower]}.0.fc_down.weight"].shape[1])


def _count(weights: Mapping[str, Tensor], prefix: str) -> int:
    pattern = re.compile(re.escape(prefix) + r"\.(\d+)(\.|$)")
    return len({match.group(1) for name in weights if (match := pattern.match(name))})


def _renamed(weights: Mapping[str, Tensor], theirs: str, ours: str) -> dict[str, Tensor]:
    return {
        f"{ours}.{part}": weights[f"{theirs}.{part}"] for part in ("weight", "bias") if f"{theirs}.{part}" in weights
    }
