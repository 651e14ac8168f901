"""An encoder again, from the identity that it left with what it encoded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from iisan.encoders.config import ComputeDtype, EncoderConfig
from iisan.encoders.encoder import Encoder
from iisan.encoders.image_processor import load_processor
from iisan.encoders.load import load_encoder
from iisan.encoders.model_files import locate_model
from iisan.encoders.wheels import WHEEL_PREFIX
from iisan.errors import UserError

_COMMIT = "commit:"
_CHECKSUM = "sha256:"


def rebuild_encoder(
    identity: Mapping[str, Any],
    *,
    model: str | None = None,
    compute: ComputeDtype = "auto",
    batch_size: int = 64,
    device: str = "auto",
) -> Encoder:
    """Loads the encoder that has an identity.

    Args:
        identity: See :class:`~iisan.encoders.encoder.Encoder`.
        model: Where the model is: hub id, folder or wheel; by default what the identity says.
        compute: Arithmetic of the forward pass, which an identity does not say.
        batch_size: Items in one forward pass.
        device: Where it runs.

    Raises:
        UserError: The model is not there, is another one, or the identity is not one of an encoder of this program.
    """
    where = f"encoder {identity.get('model', '?')!r}"
    try:
        config = _config(identity, model, compute, batch_size, device)
    except (KeyError, TypeError, ValueError, AttributeError, ValidationError) as error:
        raise UserError(
            "what is recorded of the encoder is incomplete", where=where, how="train the model again with this version"
        ) from error
    encoder = load_encoder(config)
    differing = differing_keys(identity, encoder.identity)
    if differing:
        raise UserError(
            f"this is another encoder than the model was trained with: {', '.join(differing)} differ",
            where=config.model,
            how=f"name the one that it was trained with, {identity['model']} ({identity['revision']})",
        )
    return encoder


def differing_keys(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """In what two identities differ; the name of a folder does not count where the checksums of its files agree."""
    ignored = {"model"} if one.get("revision") == other.get("revision") and _is_checksum(one) else set()
    found: list[str] = []
    for key in sorted({*one, *other} - ignored):
        before, now = one.get(key), other.get(key)
        if isinstance(before, dict) and isinstance(now, dict):
            found += differing_keys(before, now)
        elif before != now:
            found.append(key)
    return found


def _config(
    identity: Mapping[str, Any], model: str | None, compute: ComputeDtype, batch_size: int, device: str
) -> EncoderConfig:
    preprocessing = identity["preprocessing"]
    text = {name: preprocessing[name] for name in ("max_tokens", "lowercase") if identity["kind"] == "text"}
    config = EncoderConfig(
        model=_model(identity) if model is None else model,
        revision=_revision(identity["revision"]),
        kind=identity["kind"],
        pooling=identity["pooling"],
        taps=list(identity["taps"]),
        dtype=compute,
        batch_size=batch_size,
        device=device,
        **text,
    )
    if config.kind == "text":
        return config
    return config.model_copy(update={"image_size": _image_size(config, preprocessing)})


def _model(identity: Mapping[str, Any]) -> str:
    name: str = identity["model"]
    if _is_checksum(identity) and not name.startswith(WHEEL_PREFIX):
        raise UserError(
            f"the encoder was loaded from a folder named {name!r}",
            how=f"say where that is now, with --encoder MODALITY=/path/to/{name}",
        )
    return name


def _is_checksum(identity: Mapping[str, Any]) -> bool:
    return str(identity.get("revision")).startswith(_CHECKSUM)


def _revision(recorded: str) -> str | None:
    return recorded.removeprefix(_COMMIT) if recorded.startswith(_COMMIT) else None


def _image_size(config: EncoderConfig, recorded: Mapping[str, Any]) -> int | None:
    """The side in pixels that was asked for, which shows in the recorded sizes; None where the model's own was used."""
    _, own = load_processor(locate_model(config), None)
    if all(own.get(key) == recorded.get(key) for key in ("size", "crop_size")):
        return None
    side: int | None = (recorded.get("crop_size") or recorded["size"]).get("height")
    return side
