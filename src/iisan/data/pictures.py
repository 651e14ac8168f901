"""Is a file a picture that is safe to decode?"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Literal

from PIL import Image, UnidentifiedImageError

from iisan.data.media_paths import BadMediaError

PICTURE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")

PictureCheck = Literal["header", "full"]


def check_picture(path: Path, check: PictureCheck, max_pixels: int) -> None:
    """Check a picture before it is let into a dataset.

    Args:
        path: The file.
        check: ``header`` reads format and size only; ``full`` decodes the picture and so finds truncated files.
        max_pixels: Most pixels (width times height) that are accepted.

    Raises:
        BadMediaError: It is no picture of a known format, too large, or (``full``) damaged.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns about large pictures; the limit below is the one that counts.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=PICTURE_FORMATS) as picture:
                _check_size(path, picture.width * picture.height, max_pixels)
                if check == "full":
                    picture.load()
    except Image.DecompressionBombError:
        raise BadMediaError("too_large", f"{path} has far too many pixels", _SMALLER) from None
    except UnidentifiedImageError:
        known = ", ".join(PICTURE_FORMATS)
        raise BadMediaError("unreadable", f"{path} is no picture of a known format ({known})", "convert it") from None
    except (OSError, ValueError, SyntaxError, EOFError, ArithmeticError, IndexError) as error:
        # Pillow's decoders let these out on damaged files, besides OSError.
        raise BadMediaError("unreadable", f"{path} is damaged ({error})", "replace the file") from error


_SMALLER = "make the picture smaller or raise max_pixels"


def _check_size(path: Path, pixels: int, max_pixels: int) -> None:
    if pixels > max_pixels:
        raise BadMediaError("too_large", f"{path} has {pixels:,} pixels, more than {max_pixels:,}", _SMALLER)
