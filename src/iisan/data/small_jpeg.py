"""A small copy of a picture, bounded in pixels and bytes."""

from __future__ import annotations

import io

from PIL import Image

# Longer side in pixels: what a page shows, twice for fine screens.
SIDE = 448
# What a picture is decoded with for it: a smaller decoding loses what scaling down by two or more loses anyway.
AT_LEAST = 2 * SIDE
MOST_BYTES = 96 << 10
_QUALITIES = (85, 70, 50, 30)
_SMALLER = 0.7


def small_jpeg(picture: Image.Image, side: int = SIDE, most_bytes: int = MOST_BYTES) -> bytes:
    """A JPEG of a picture, scaled down to a longer side and never up; worse or smaller still where it has too many
    bytes.

    Args:
        picture: In mode RGB; it stays as it is.
        side: Longer side in pixels.
        most_bytes: At least 1,024, which a picture of one pixel does not reach.
    """
    small = picture.copy()
    # A line of ten thousand pixels would otherwise have no height.
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    while True:
        for quality in _QUALITIES:
            stream = io.BytesIO()
            small.save(stream, "JPEG", quality=quality, optimize=True)
            if stream.tell() <= most_bytes:
                return stream.getvalue()
        small = small.resize((max(1, int(small.width * _SMALLER)), max(1, int(small.height * _SMALLER))))
