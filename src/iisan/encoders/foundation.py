"""Load the foundation model itself: safetensors weights only, no remote code, frozen."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from iisan.encoders.config import ComputeDtype, Kind
from iisan.errors import UserError

INPUT_OF_KIND = {"text": "input_ids", "image": "pixel_values"}


def load_foundation(folder: Path, kind: Kind, dtype: torch.dtype, name: str) -> nn.Module:
    """Load a frozen model that reads one kind of media.

    Of a dual model (CLIP, SigLIP) the tower of that kind is taken, of an encoder-decoder (T5) the encoder. A pooling
    head is dropped: taps are pooled outside of the model.

    Args:
        folder: Hugging Face layout, with safetensors weights.
        kind: ``"text"`` or ``"image"``.
        dtype: Dtype of the weights.
        name: For messages.

    Returns:
        The module on the CPU, in eval mode, without gradients.

    Raises:
        UserError: The folder cannot be loaded, needs remote code, lacks weights, or does not read that kind.
    """
    from transformers import AutoConfig, AutoModel

    with reading(name, "its config.json"):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    with reading(name, "its weights"), _quiet():
        model, report = AutoModel.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    tower, prefix = _tower(model, kind, name)
    _require_all_weights(tower, prefix, report["missing_keys"], name)
    if isinstance(getattr(tower, "pooler", None), nn.Module):
        tower.pooler = nn.Identity()  # not None: some models call it unasked
    module: nn.Module = tower.eval()
    return module.requires_grad_(False)


def resolve_device(device: str) -> torch.device:
    """The torch device that a configuration means.

    Raises:
        UserError: There is no such device.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.empty(0, device=resolved)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise UserError(
            f"no device '{device}' here ({reason})", where="encoder device", how="use 'auto' or 'cpu'"
        ) from error
    return resolved


def resolve_dtype(dtype: ComputeDtype, device: torch.device) -> torch.dtype:
    """The arithmetic of the forward pass: ``"auto"`` is bfloat16 where CUDA has it, else float32."""
    if dtype == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if fast else torch.float32
    return torch.bfloat16 if dtype == "bfloat16" else torch.float32


@contextlib.contextmanager
def reading(name: str, part: str) -> Iterator[None]:
    """Turn whatever transformers raises on bad files into one line for the user."""
    try:
        yield
    except UserError:
        raise
    except (
        Exception
    ) as error:  # the loaders raise OSError, ValueError, KeyError, ImportError, SafetensorError and others
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(
            f"the model cannot be loaded from {part} ({reason[:200]})",
            where=name,
            how="check that the folder is complete and that transformers supports the model without remote code",
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without progress bars and the report on unused weights; missing weights raise, see `_require_all_weights`."""
    from transformers.utils import logging as hf_logging

    had_bar, verbosity = hf_logging.is_progress_bar_enabled(), hf_logging.get_verbosity()
    hf_logging.disable_progress_bar()
    hf_logging.set_verbosity_error()
    try:
        yield
    finally:
        hf_logging.set_verbosity(verbosity)
        if had_bar:
            hf_logging.enable_progress_bar()


def _tower(model: Any, kind: Kind, name: str) -> tuple[Any, str]:
    prefix = ""
    if hasattr(model, "text_model") and hasattr(model, "vision_model"):
        attribute = "text_model" if kind == "text" else "vision_model"
        model, prefix = getattr(model, attribute), f"{attribute}."
    elif model.config.is_encoder_decoder:
        model, prefix = model.get_encoder(), "encoder."
    if getattr(model, "main_input_name", None) != INPUT_OF_KIND[kind]:
        raise UserError(
            f"a {model.config.model_type} model does not read {kind}",
            where=name,
            how="set the encoder's kind to what the model reads",
        )
    return model, prefix


def _require_all_weights(tower: Any, prefix: str, missing: Any, name: str) -> None:
    """Missing weights would be drawn at random, and every number after them be wrong."""
    own = {prefix + key for key, _ in tower.named_parameters() if not key.startswith(("pooler.", "head."))}
    absent = sorted(own & set(missing))
    if absent:
        raise UserError(
            f"the weights file lacks {len(absent)} tensors of the model, the first one '{absent[0]}'",
            where=name,
            how="use the checkpoint that belongs to the config.json",
        )
