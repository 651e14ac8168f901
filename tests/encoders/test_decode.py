from __future__ import annotations

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
