"""Is a file a picture that is safe to decode?"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import BinaryIO, Literal

from PIL import Image, UnidentifiedImageError

from iisan.data.media_paths import BadMediaError

PICTURE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
# Suffixes that a picture's name may end with, and the one that pictures without a name of their own get.
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
SUFFIX_OF_FORMAT = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tif"}

PictureCheck = Literal["header", "full"]


def check_picture(source: Path | BinaryIO, check: PictureCheck, max_pixels: int, origin: str | None = None) -> str:
    """Check a picture before it is let into a dataset.

    Args:
        source: The file, or its bytes as a stream.
        check: ``header`` reads format and size only; ``full`` decodes the picture and so finds truncated files.
        max_pixels: Most pixels (width times height) that are accepted.
        origin: What to call it in an error; by default the path.

    Returns:
        The format, one of ``PICTURE_FORMATS``, told from the bytes; no name is asked.

    Raises:
        BadMediaError: It is no picture of a known format, too large, of pixels without a known range, or (``full``)
            damaged.
    """
    name = origin or str(source)
    try:
        with warnings.catch_warnings():
            # Pillow warns about large and odd pictures; what is decided here is what counts.
            warnings.simplefilter("ignore")
            with Image.open(source, formats=PICTURE_FORMATS) as picture:
                _check_size(name, picture.width * picture.height, max_pixels)
                _check_mode(name, picture.mode)
                if check == "full":
                    picture.load()
                return _format_of(picture)
    except BadMediaError:
        raise
    except Image.DecompressionBombError:
        raise BadMediaError("too_large", f"{name} has far too many pixels", _SMALLER) from None
    except UnidentifiedImageError:
        known = ", ".join(PICTURE_FORMATS)
        raise BadMediaError("unreadable", f"{name} is no picture of a known format ({known})", "convert it") from None
    except Exception as error:  # Pillow's readers raise nearly any exception on a damaged file.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadMediaError("unreadable", f"{name} is damaged ({reason})", "replace the file") from error


_SMALLER = "make the picture smaller or raise max_pixels"


def _check_size(name: str, pixels: int, max_pixels: int) -> None:
    if pixels > max_pixels:
        raise BadMediaError("too_large", f"{name} has {pixels:,} pixels, more than {max_pixels:,}", _SMALLER)


def _check_mode(name: str, mode: str) -> None:
    # The decoder of the encoders refuses it too: nothing says which value is white.
    if mode == "F":
        raise BadMediaError("unreadable", f"{name} has floating-point pixels of unknown range", "save it with 8 bits")


def _format_of(picture: Image.Image) -> str:
    # A JPEG file with further pictures behind the first one, as some cameras write, calls itself MPO.
    return "JPEG" if picture.format == "MPO" else str(picture.format)
