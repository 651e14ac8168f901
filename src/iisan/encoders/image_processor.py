"""The picture preprocessing that belongs to a model."""

from __future__ import annotations

from typing import Any

from iisan.encoders.foundation import reading
from iisan.encoders.model_files import ModelFiles

# What changes pixels; the rest of a processor's configuration is bookkeeping
PIXEL_SETTINGS = (
    "do_resize",
    "size",
    "resample",
    "do_center_crop",
    "crop_size",
    "do_rescale",
    "rescale_factor",
    "do_normalize",
    "image_mean",
    "image_std",
    "do_pad",
    "pad_size",
)


def load_processor(files: ModelFiles, image_size: int | None) -> tuple[Any, dict[str, Any]]:
    """Load a model's image processor; torchvision is not needed.

    Args:
        files: Where the model's files are.
        image_size: Side in pixels of what the model gets to see; ``None``: as the processor says. A processor that
            scales the shorter side and crops the centre keeps doing so, in the same proportion.

    Returns:
        The processor, and the JSON-able settings that determine the pixels.

    Raises:
        UserError: The folder has no usable image processor.
    """
    from transformers import AutoImageProcessor

    with reading(files.name, "its preprocessor_config.json"):
        processor = AutoImageProcessor.from_pretrained(files.folder, backend="pil", trust_remote_code=False)
    if image_size is not None:
        _resize(processor, image_size)
    settings = processor.to_dict()
    if not settings.get("do_center_crop"):
        settings.pop("crop_size", None)
    return processor, {key: _plain(settings[key]) for key in PIXEL_SETTINGS if settings.get(key) is not None}


def resized_side(settings: dict[str, Any]) -> int | None:
    """The longest side that a picture's shorter one is scaled to, None where pictures keep their size.

    Args:
        settings: As of :func:`load_processor`.
    """
    sides = [settings.get("size", {}).get(name) for name in ("height", "width", "shortest_edge")]
    known = [side for side in sides if side is not None]
    return max(known) if settings.get("do_resize") and known else None


def _resize(processor: Any, side: int) -> None:
    square = {"height": side, "width": side}
    crop = processor.crop_size if getattr(processor, "do_center_crop", None) else None
    shortest = dict(processor.size).get("shortest_edge") if processor.size else None
    if crop and shortest:
        processor.size = type(processor.size)(shortest_edge=round(shortest * side / dict(crop)["height"]))
        processor.crop_size = type(crop)(**square)
        return
    processor.do_resize = True
    processor.size = type(processor.size)(**square) if processor.size else square
    if crop:
        processor.crop_size = type(crop)(**square)


def _plain(value: Any) -> Any:
    if hasattr(value, "items"):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return float(value) if isinstance(value, float) else int(value) if not isinstance(value, (bool, str)) else value
