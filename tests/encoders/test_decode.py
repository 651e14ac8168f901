from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iisan.encoders import decode_image
from iisan.errors import UserError

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def two_colours(size: tuple[int, int] = (8, 4)) -> Image.Image:
    """Left half red, right half blue."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, *size))
    return image


def near(pixel: object, colour: tuple[int, int, int]) -> bool:
    return bool(np.abs(np.asarray(pixel, dtype=int) - colour).max() < 12)


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to show
    two_colours((32, 16)).save(tmp_path / "turned.jpg", exif=exif, quality=100)
    shown = decode_image(tmp_path / "turned.jpg")
    assert shown.size == (16, 32)
    assert near(shown.getpixel((8, 2)), RED)
    assert near(shown.getpixel((8, 29)), BLUE)


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (6, 6), colour) for colour in (BLUE, RED)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert near(decode_image(tmp_path / "moving.gif").getpixel((3, 3)), BLUE)


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    two_colours((32, 16)).convert("CMYK").save(tmp_path / "print.jpg", quality=100)
    shown = decode_image(tmp_path / "print.jpg")
    assert shown.mode == "RGB"
    assert near(shown.getpixel((4, 8)), RED)
    assert near(shown.getpixel((28, 8)), BLUE)


def test_16_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    values = np.array([[0, 256, 0x8000, 0xFFFF]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    assert np.asarray(decode_image(tmp_path / "deep.png"))[0].tolist() == [[level] * 3 for level in (0, 1, 128, 255)]


def test_transparent_parts_become_white(tmp_path: Path) -> None:
    image = two_colours().convert("RGBA")
    image.putalpha(Image.new("L", image.size, 0))
    image.save(tmp_path / "glass.png")
    assert decode_image(tmp_path / "glass.png").getpixel((0, 0)) == WHITE
    palette = two_colours().convert("P", palette=Image.Palette.ADAPTIVE)
    red = palette.getpixel((0, 0))
    palette.save(tmp_path / "glass.gif", transparency=red)
    shown = decode_image(tmp_path / "glass.gif")
    assert shown.getpixel((0, 0)) == WHITE
    assert near(shown.getpixel((7, 0)), BLUE)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "HSV", "YCbCr"])
def test_any_mode_becomes_rgb(mode: str) -> None:
    assert decode_image(two_colours().convert(mode)).mode == "RGB"


def test_truncated_file_is_named(tmp_path: Path) -> None:
    whole = tmp_path / "whole.jpg"
    Image.effect_noise((64, 64), 80).convert("RGB").save(whole)
    for share in (0.9, 0.5, 0.1):
        half = tmp_path / "half.jpg"
        half.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
        with pytest.raises(UserError, match=r"half\.jpg.*cannot be decoded"):
            decode_image(half)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"GIF89a\x01"])
def test_files_that_are_no_pictures(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "odd.png").write_bytes(content)
    with pytest.raises(UserError, match=r"odd\.png"):
        decode_image(tmp_path / "odd.png")


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.png.*does not exist"):
        decode_image(tmp_path / "gone.png")
    with pytest.raises(UserError, match="cannot be decoded"):
        decode_image(tmp_path)


def test_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    Image.new("1", (9000, 9000)).save(tmp_path / "bomb.png")
    with pytest.raises(UserError, match="9000 x 9000 pixels"):
        decode_image(tmp_path / "bomb.png")


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((4, 4), dtype=np.float32)).save(tmp_path / "raw.tiff")
    with pytest.raises(UserError, match="floating-point"):
        decode_image(tmp_path / "raw.tiff")


def test_a_format_that_an_import_refuses_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n")
    with pytest.raises(UserError, match=r"picture\.png.*cannot be decoded"):
        decode_image(path)


def png(width: int, depth: int, colour: int, row: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of one row, chunk by chunk."""
    head = struct.pack(">IIBBBBB", width, 1, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def grey(*levels: int) -> list[list[int]]:
    return [[level] * 3 for level in levels]


PALETTE = (b"PLTE", bytes([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9]))
DEEP = struct.pack(">4H", 0, 0x0100, 0x8000, 0xFFFF)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (png(4, 16, 0, DEEP), grey(0, 1, 128, 255)),
        (png(4, 16, 0, DEEP, (b"tRNS", b"\x80\0")), grey(0, 1, 255, 255)),
        (png(1, 16, 2, struct.pack(">3H", 0x8000, 0x0100, 0xFFFF)), [[128, 1, 255]]),
        (png(2, 16, 4, struct.pack(">4H", 0x8000, 0, 0x4000, 0xFFFF)), grey(255, 64)),
        (png(2, 16, 6, struct.pack(">8H", 0, 0, 0, 0, 0x4000, 0x8000, 0xFF00, 0xFFFF)), [[255] * 3, [64, 128, 255]]),
        (png(8, 1, 0, b"\xa1"), grey(255, 0, 255, 0, 0, 0, 0, 255)),
        (png(8, 1, 0, b"\xa1", (b"tRNS", b"\0\0")), grey(*[255] * 8)),
        (png(4, 2, 0, b"\x1b"), grey(0, 85, 170, 255)),
        (png(4, 4, 0, b"\x0f\x80"), grey(0, 255, 136, 0)),
        (
            png(
                4, 2, 3, b"\x1b", (b"PLTE", bytes([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])), (b"tRNS", b"\xff\0\x80")
            ),
            [[255, 0, 0], [255, 255, 255], [127, 127, 255], [9, 9, 9]],
        ),
        (png(2, 8, 0, b"\x10\x20", (b"tRNS", b"\0\x10")), grey(255, 32)),
    ],
)
def test_depths_and_transparency_of_png(content: bytes, expected: list[list[int]], tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(content)
    assert np.asarray(decode_image(tmp_path / "x.png"))[0].tolist() == expected


@pytest.mark.parametrize("form", ["TIFF", "PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize(
    ("orientation", "corners"),
    [
        # The corners of the stored picture are A B / C D; what is shown, read row by row.
        (1, "ABCD"),
        (2, "BADC"),
        (3, "DCBA"),
        (4, "CDAB"),
        (5, "ACBD"),
        (6, "CADB"),
        (7, "DBCA"),
        (8, "BDAC"),
    ],
)
def test_every_exif_orientation(form: str, orientation: int, corners: str, tmp_path: Path) -> None:
    colours = {"A": RED, "B": (0, 255, 0), "C": BLUE, "D": (255, 255, 0)}
    image = Image.new("RGB", (32, 16))
    for letter, at in zip("ABCD", [(0, 0), (16, 0), (0, 8), (16, 8)], strict=True):
        image.paste(colours[letter], (*at, at[0] + 16, at[1] + 8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100, "subsampling": 0} if form == "JPEG" else {"lossless": True} if form == "WEBP" else {}
    image.save(tmp_path / "x", form, exif=exif, **options)
    shown = decode_image(tmp_path / "x")
    width, height = shown.size
    assert (width > height) == (orientation < 5)
    places = [(x, y) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    for place, letter in zip(places, corners, strict=True):
        assert near(shown.getpixel(place), colours[letter]), (place, letter)


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_the_first_of_several_frames(form: str, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (BLUE, RED)]
    frames[0].save(tmp_path / "x", form, save_all=True, append_images=frames[1:])
    shown = decode_image(tmp_path / "x")
    assert shown.size == (16, 16)
    assert near(shown.getpixel((8, 8)), BLUE)


def test_inks_are_not_taken_for_light(tmp_path: Path) -> None:
    inks = {"white": (0, 0, 0, 0), "cyan": (255, 0, 0, 0), "black": (0, 0, 0, 255), "red": (0, 255, 255, 0)}
    expected = {"white": WHITE, "cyan": (0, 255, 255), "black": (0, 0, 0), "red": RED}
    for name, ink in inks.items():
        for form in ("JPEG", "TIFF"):
            Image.new("CMYK", (16, 16), ink).save(tmp_path / "x", form)
            assert near(decode_image(tmp_path / "x").getpixel((8, 8)), expected[name]), (name, form)


def test_32_bits_are_read_where_they_hold_16(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 0x8000, 0xFFFF]], dtype=np.int32)).save(tmp_path / "x.tiff")
    assert np.asarray(decode_image(tmp_path / "x.tiff"))[0].tolist() == grey(0, 128, 255)
    for value in (0x10000, -1):
        Image.fromarray(np.array([[0, value]], dtype=np.int32)).save(tmp_path / "x.tiff")
        with pytest.raises(UserError, match=r"x\.tiff.*32-bit pixels of unknown range"):
            decode_image(tmp_path / "x.tiff")


def test_a_large_jpeg_is_decoded_no_smaller_than_asked(tmp_path: Path) -> None:
    picture = Image.linear_gradient("L").convert("RGB").resize((1600, 1200))
    picture.save(tmp_path / "large.jpg", quality=95)
    reduced = decode_image(tmp_path / "large.jpg", at_least=448)
    assert reduced.size == (800, 600)
    whole = decode_image(tmp_path / "large.jpg").resize((224, 224))
    assert np.abs(np.asarray(reduced.resize((224, 224)), dtype=int) - np.asarray(whole, dtype=int)).max() <= 2
    assert decode_image(tmp_path / "large.jpg", at_least=1000).size == (1600, 1200)
    picture.save(tmp_path / "large.png")
    assert decode_image(tmp_path / "large.png", at_least=100).size == (1600, 1200)


def test_a_reduced_jpeg_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (1600, 1200), "red").save(tmp_path / "turned.jpg", exif=exif)
    assert decode_image(tmp_path / "turned.jpg", at_least=448).size == (600, 800)
