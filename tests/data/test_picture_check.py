"""What comes as a picture: what the two checks say, and what an encoder then sees."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from iisan.data.media_paths import BadMediaError
from iisan.data.pictures import PICTURE_FORMATS, PictureCheck, check_picture
from tests.data.picture_files import picture

LIMIT = 64_000_000


def check(content: bytes, kind: PictureCheck, max_pixels: int = LIMIT) -> str:
    """The format, or the reason why it is refused."""
    try:
        return check_picture(io.BytesIO(content), kind, max_pixels, "x")
    except BadMediaError as bad:
        return bad.reason


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def claimed(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims a size, and unpacks to it: zeros compress a thousandfold."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((1 + -(-width // 8)) * height), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


FRAMES = [Image.new("RGB", (6, 4), colour) for colour in ("blue", "red")]
MOVING: dict[str, object] = {"save_all": True, "append_images": FRAMES[1:]}
JPEG = saved(Image.effect_noise((64, 64), 50), "JPEG")


@pytest.mark.parametrize(
    ("content", "header", "full"),
    [
        (JPEG, "JPEG", "JPEG"),
        (JPEG[: len(JPEG) // 2], "JPEG", "unreadable"),
        (JPEG[:-2], "JPEG", "unreadable"),
        (JPEG[:20], "unreadable", "unreadable"),
        (picture(1)[:80], "PNG", "unreadable"),
        (b"", "unreadable", "unreadable"),
        (b"<!DOCTYPE html><html><body>403 Forbidden</body></html>", "unreadable", "unreadable"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unreadable", "unreadable"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n%%EOF\n", "unreadable", "unreadable"),
        (claimed(10_000, 10_000), "too_large", "too_large"),
        (claimed(8_000, 8_000), "PNG", "PNG"),
        (claimed(8_001, 8_000), "too_large", "too_large"),
        (claimed(400_000, 400_000 // 1000), "too_large", "too_large"),
        (saved(Image.new("1", (20_000, 20_000)), "TIFF", compression="group4"), "too_large", "too_large"),
        (saved(FRAMES[0], "GIF", **MOVING), "GIF", "GIF"),
        (saved(FRAMES[0], "PNG", **MOVING), "PNG", "PNG"),
        (saved(FRAMES[0], "WEBP", **MOVING), "WEBP", "WEBP"),
        (saved(FRAMES[0], "MPO", **MOVING), "JPEG", "JPEG"),
        (saved(Image.new("CMYK", (8, 8)), "JPEG"), "JPEG", "JPEG"),
        (saved(Image.fromarray(np.zeros((4, 4), np.uint16)), "PNG"), "PNG", "PNG"),
        (saved(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"), "unreadable", "unreadable"),
    ],
)
def test_the_two_checks(content: bytes, header: str, full: str) -> None:
    assert check(content, "header") == header
    assert check(content, "full") == full


@pytest.mark.parametrize("form", PICTURE_FORMATS)
def test_a_format_is_told_from_the_bytes(tmp_path: Path, form: str) -> None:
    path = tmp_path / "picture.svg"
    path.write_bytes(picture(3, form))
    assert check_picture(path, "full", LIMIT) == form


@settings(max_examples=300, deadline=None)
@given(
    form=st.sampled_from(PICTURE_FORMATS),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.integers(0, 400),
    kind=st.sampled_from(["header", "full"]),
)
def test_damage_is_let_in_or_refused_and_nothing_else(
    form: str, changes: list[tuple[int, int]], cut: int, kind: PictureCheck
) -> None:
    content = bytearray(picture(7, form, (9, 7)))
    for position, value in changes:
        content[position % min(len(content), 200)] = value
    assert check(bytes(content[: max(1, len(content) - cut)]), kind, 10_000) in {
        *PICTURE_FORMATS,
        "unreadable",
        "too_large",
    }
