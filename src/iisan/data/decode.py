"""From a picture file to 8-bit RGB."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from iisan.data.pictures import PICTURE_FORMATS
from iisan.errors import UserError

MAX_PIXELS = 80_000_000
WHITE_16 = 65535


def decode_image(source: Path | str | Image.Image, at_least: int | None = None) -> Image.Image:
    """Decode a picture as a person would see it.

    The EXIF orientation is applied, the first frame of an animation is taken, transparent parts become white, CMYK and
    grey become RGB, 16-bit channels are scaled to 8 bits.

    Args:
        source: A file, or a picture that is already open.
        at_least: A JPEG may be decoded at a half, a quarter or an eighth of its size as long as no side falls below
            this many pixels, which takes a fraction of the time. None: in full. An open picture whose pixels are
            there already stays as it is.

    Returns:
        The picture in mode RGB, fully decoded.

    Only the formats that an import lets in are tried: Pillow's reader of PostScript, for one, would start a program.

    Raises:
        UserError: The file is absent, empty, truncated, no picture, or has more than `MAX_PIXELS` pixels.
    """
    if isinstance(source, Image.Image):
        return _decode(source, "picture", at_least)
    name = str(source)
    try:
        with Image.open(source, formats=PICTURE_FORMATS) as image:
            return _decode(image, name, at_least)
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(
            "picture file does not exist", where=name, how="restore it or clear the item's picture"
        ) from None
    except Exception as error:  # Pillow's readers raise nearly any exception on a damaged file
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> UserError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return UserError(
        f"picture cannot be decoded ({reason})", where=name, how="replace the file or clear the item's picture"
    )


def _decode(image: Image.Image, name: str, at_least: int | None = None) -> Image.Image:
    if image.width * image.height > MAX_PIXELS:
        raise UserError(
            f"picture has {image.width} x {image.height} pixels, more than {MAX_PIXELS}",
            where=name,
            how="scale it down; the encoders look at a few hundred pixels a side",
        )
    if at_least is not None:
        image.draft(None, (at_least, at_least))  # does nothing where the format has no such thing
    image.load()
    return _to_rgb(ImageOps.exif_transpose(image), name)


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image.copy()
    if image.mode.startswith("I"):
        return _from_16_bits(image, name)
    if image.mode == "F":
        raise UserError("picture has floating-point pixels of unknown range", where=name, how="save it with 8 bits")
    if image.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _from_16_bits(image: Image.Image, name: str) -> Image.Image:
    # Pillow's own conversion clips every value above 255 to white
    values = np.asarray(image).astype(np.int64)  # [h, w]
    if values.size and (values.min() < 0 or values.max() > WHITE_16):
        raise UserError("picture has 32-bit pixels of unknown range", where=name, how="save it with 8 or 16 bits")
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        values = np.where(values == transparent, WHITE_16, values)
    return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
