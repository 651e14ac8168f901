"""Where a model's files are: on the hub, in a folder, or in an installed wheel."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from iisan.data.checksum import sha256_of_file, sha256_of_text
from iisan.encoders.config import EncoderConfig
from iisan.encoders.hub_snapshot import hub_snapshot
from iisan.encoders.wheels import WHEEL_PREFIX, wheel_folder
from iisan.errors import UserError

logger = logging.getLogger(__name__)

# Files in the root of a repository that a frozen encoder may need; nothing that is executed or unpickled on loading.
HUB_PATTERNS = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model", "*.jinja"]
HUB_IGNORED = ["*/*", "*.fp16.safetensors", "consolidated*", "*.onnx*"]
FINGERPRINTED = ("*.safetensors", "*.json", "*.txt", "*.model")
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A folder in Hugging Face layout, and what says which weights are in it.

    Attributes:
        folder: Holds ``config.json``, safetensors weights, tokenizer or image processor.
        name: The model as the user knows it.
        revision: ``"commit:<hash>"`` of the hub, or ``"sha256:<hash>"`` of the files.
    """

    folder: Path
    name: str
    revision: str


def locate_model(config: EncoderConfig) -> ModelFiles:
    """Find, download or convert the files of a model.

    Args:
        config: `model` and `revision` are read.

    Returns:
        A folder with safetensors weights.

    Raises:
        UserError: There is no such model, it cannot be downloaded, or it has no safetensors weights.
    """
    if config.model.startswith(WHEEL_PREFIX):
        folder, checksum = wheel_folder(config.model)
        return ModelFiles(folder, config.model, f"sha256:{checksum}")
    folder = Path(config.model).expanduser()
    if folder.is_dir():
        _require_safetensors(folder, config.model)
        return ModelFiles(folder, folder.resolve().name, f"sha256:{_fingerprint(folder)}")
    if _looks_like_a_path(config.model):
        raise UserError(
            "model folder does not exist", where=config.model, how="give a folder or a hub id such as org/name"
        )
    folder = _download(config.model, config.revision)
    _require_safetensors(folder, config.model)
    return ModelFiles(folder, config.model, f"commit:{folder.name}")


def _looks_like_a_path(model: str) -> bool:
    return model.startswith(("/", ".", "~")) or model.count("/") > 1 or "\\" in model


def _require_safetensors(folder: Path, name: str) -> None:
    if not (folder / "config.json").is_file():
        raise UserError("not a model folder: config.json is missing", where=name, how="name the folder that holds it")
    if any(folder.glob("*.safetensors")):
        return
    pickled = sorted(path.name for pattern in PICKLED for path in folder.glob(pattern))
    what = f"only pickled weights ({pickled[0]})" if pickled else "no safetensors weights"
    raise UserError(
        f"the model has {what}, and pickles are never read",
        where=name,
        how="choose a revision or a model with model.safetensors, or convert it with save_pretrained()",
    )


def _fingerprint(folder: Path) -> str:
    names = sorted({path.name for pattern in FINGERPRINTED for path in folder.glob(pattern)})
    return sha256_of_text("\n".join(f"{name} {sha256_of_file(folder / name)}" for name in names))


def _download(model: str, revision: str | None) -> Path:
    folder = hub_snapshot(
        model,
        revision=revision,
        allow_patterns=HUB_PATTERNS,
        ignore_patterns=HUB_IGNORED,
        otherwise=" or an offline model: wheel:minilm-l6, wheel:dinov2-small",
    )
    logger.info("%s: using %s", model, folder)
    return folder
