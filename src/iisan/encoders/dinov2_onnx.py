"""From the ONNX export of a DINOv2 backbone to a transformers model folder."""

from __future__ import annotations

import json
import logging
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from safetensors.torch import save_file
from torch import Tensor

from iisan.errors import UserError

logger = logging.getLogger(__name__)

BACKBONE = "backbone."
WIDTH = 384
CONFIG = {
    "architectures": ["Dinov2Model"],
    "model_type": "dinov2",
    "hidden_size": WIDTH,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
    "mlp_ratio": 4,
    "image_size": 518,
    "patch_size": 14,
    "num_channels": 3,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-6,
    "layerscale_value": 1.0,
    "qkv_bias": True,
    "use_swiglu_ffn": False,
    "drop_path_rate": 0.0,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "dtype": "float32",
}
PROCESSOR = {
    "image_processor_type": "BitImageProcessor",
    "do_convert_rgb": True,
    "do_resize": True,
    "size": {"height": 224, "width": 224},
    "resample": 3,
    "do_center_crop": False,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}


def convert_dinov2(onnx_file: Path, folder: Path) -> None:
    """Write the backbone of an ONNX export as a ``Dinov2Model`` folder, unless the folder is there already.

    The folder appears complete or not at all; processes that want it at the same time convert it once.

    Args:
        onnx_file: Export whose initializers are named after the modules of ``Dinov2Model`` under ``backbone.``.
        folder: Target in Hugging Face layout: config, image processor, safetensors weights.

    Raises:
        UserError: The ``onnx`` package is missing, or the cache folder cannot be written.
    """
    if folder.is_dir():
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not folder.is_dir():
                _convert(onnx_file, folder)
    except OSError as error:
        raise UserError(
            f"the model cache cannot be written ({error.strerror or error})",
            where=str(folder.parent),
            how="free some space, or set IISAN_CACHE_DIR to a writable folder",
        ) from error


def _convert(onnx_file: Path, folder: Path) -> None:
    weights = backbone_weights(onnx_file)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        save_file(weights, scratch / "model.safetensors", metadata={"format": "pt"})
        (scratch / "config.json").write_text(json.dumps(CONFIG, indent=1), encoding="utf-8")
        (scratch / "preprocessor_config.json").write_text(json.dumps(PROCESSOR, indent=1), encoding="utf-8")
        scratch.chmod(0o755)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    logger.info("converted %s to %s", onnx_file, folder)


def backbone_weights(onnx_file: Path) -> dict[str, Tensor]:
    """Read the backbone's weights under the parameter names of ``Dinov2Model``, fp32.

    The export keeps named initializers except where it folded an operation into a constant: the weights of linear
    layers (transposed, consumed by the MatMul node of their module) and the two parts of the position embedding.
    """
    try:
        import onnx
    except ImportError:
        raise UserError(
            "reading the offline picture model needs the onnx package",
            where="wheel:dinov2-small",
            how="pip install 'iisan[demo]'",
        ) from None
    graph = onnx.load(str(onnx_file)).graph
    constants: dict[str, Tensor] = {
        tensor.name: torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy()).float() for tensor in graph.initializer
    }
    named = {key.removeprefix(BACKBONE): value for key, value in constants.items() if key.startswith(BACKBONE)}
    positions = torch.cat(
        [_folded(graph, constants, "Concat", (1, 1, WIDTH)), _folded(graph, constants, "Reshape", (1, None, WIDTH))],
        dim=1,
    )  # [1, 1 + patches, D]
    weights = {
        **named,
        **_linear_weights(graph, constants),
        "embeddings.position_embeddings": positions,
        # used only in pre-training, so the export lacks it
        "embeddings.mask_token": torch.zeros(1, WIDTH),
    }
    return {key: value.contiguous() for key, value in weights.items()}


def _linear_weights(graph: Any, constants: dict[str, Tensor]) -> dict[str, Tensor]:
    weights = {}
    for node in graph.node:
        module = re.fullmatch(r"/backbone/(.+)/MatMul(_\d+)?", node.name)
        folded = [constants[name] for name in node.input if name in constants]
        if node.op_type == "MatMul" and module and folded:
            weights[module[1].replace("/", ".") + ".weight"] = folded[0].T
    return weights


def _folded(graph: Any, constants: dict[str, Tensor], operation: str, shape: tuple[int | None, ...]) -> Tensor:
    """The unnamed constant of the embedding module that an operation consumes."""
    for node in graph.node:
        if node.op_type != operation or not node.name.startswith("/backbone/embeddings/"):
            continue
        for name in node.input:
            value = constants.get(name)
            if value is not None and value.dim() == len(shape) and _fits(value, shape):
                return value
    raise UserError(f"the export holds no {operation} constant of shape {shape}", where="wheel:dinov2-small")


def _fits(value: Tensor, shape: tuple[int | None, ...]) -> bool:
    return all(wanted is None or size == wanted for size, wanted in zip(value.shape, shape, strict=True))
