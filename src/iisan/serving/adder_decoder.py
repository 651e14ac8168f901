"""The process that decodes uploaded pictures: it has little memory and time, writes no file, and knows no secret.

A picture is decoded by large libraries written in C. Whatever a file makes of them happens here, where there is nothing
but the picture itself.
"""

from __future__ import annotations

import io
import os
import sys
import warnings
from typing import BinaryIO

from PIL import Image

from iisan.data.decode import decode_image
from iisan.data.media_paths import BadMediaError
from iisan.data.pictures import PICTURE_FORMATS, check_picture
from iisan.data.small_jpeg import AT_LEAST, small_jpeg
from iisan.errors import UserError
from iisan.serving.adder_frames import Frame, read_frame, write_frame
from iisan.serving.process_limits import bound_decoding, bound_next_seconds

# Copies of a picture in other modes and at 16 bits, all at once.
_BYTES_A_PIXEL = 48
_MEMORY_BESIDE = 256 << 20
_OPEN_FILES = 16


def answer(content: bytes, max_pixels: int, at_least: int | None = None) -> Frame:
    """The pixels of a picture file and a small copy, or why it is refused.

    Args:
        content: The file.
        max_pixels: Most that it may have.
        at_least: What the encoder wants it decoded with; see :func:`~iisan.data.decode.decode_image`.
    """
    try:
        check_picture(io.BytesIO(content), "header", max_pixels, origin="the picture")
        picture, in_full = _decoded(content, at_least)
        # What is large enough for the encoder may be too small to show.
        small = small_jpeg(picture if in_full else _decoded(content, AT_LEAST)[0])
        return Frame({"width": picture.width, "height": picture.height}, [picture.tobytes(), small])
    except BadMediaError as bad:
        return Frame({"refused": bad.detail, "too_large": bad.reason == "too_large"})
    except UserError as error:
        return Frame({"refused": error.what, "too_large": False})
    except MemoryError:
        return Frame({"refused": "the picture takes too much memory to decode", "too_large": True})
    except Exception as error:  # Pillow's readers raise nearly any exception on a damaged file.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return Frame({"refused": f"the picture is damaged ({reason[:200]})", "too_large": False})


def _decoded(content: bytes, at_least: int | None) -> tuple[Image.Image, bool]:
    """A picture in mode RGB, and whether it is as large as its file says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(content), formats=PICTURE_FORMATS) as opened:
            pixels = opened.width * opened.height
            picture = decode_image(opened, at_least)
            return picture, picture.width * picture.height == pixels


def serve(reading: BinaryIO, writing: BinaryIO, max_pixels: int, seconds: int) -> None:
    """Decodes one picture after the other until the input ends."""
    Image.init()  # Readers are loaded on first use otherwise, when files may no longer be opened.
    bound_decoding(max_pixels * _BYTES_A_PIXEL + _MEMORY_BESIDE, _OPEN_FILES)
    while (frame := read_frame(reading)) is not None:
        bound_next_seconds(seconds)
        write_frame(writing, answer(frame.blobs[0], max_pixels, frame.head["at_least"]))


def main() -> None:
    """The program: most pixels and processor seconds a picture are its arguments."""
    max_pixels, seconds = map(int, sys.argv[1:])
    writing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What a library prints must not get among the frames.
    serve(sys.stdin.buffer, writing, max_pixels, seconds)


if __name__ == "__main__":
    main()
