"""Uploads: bounded in all they may hold, decoded where they do no harm, kept as small copies."""

from __future__ import annotations

import io
import os
import signal
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from iisan.data.decode import decode_image
from iisan.data.small_jpeg import MOST_BYTES, SIDE, small_jpeg
from iisan.errors import UserError
from iisan.models.picture_store import PictureStore
from iisan.serving.adder_decoder import answer
from iisan.serving.adder_errors import (
    AdderBusy,
    AdderFailed,
    CannotAdd,
    ItemExists,
    UploadRefused,
    as_data,
    of_data,
)
from iisan.serving.adder_frames import Frame, FrameError, read_frame, write_frame
from iisan.serving.decoding import Decoding
from iisan.serving.new_item import NewItem, checked
from iisan.serving.refusals import UnknownItems
from iisan.serving.upload_limits import UploadLimits
from tests.data.picture_files import picture

LIMITS = UploadLimits(
    id_characters=24,
    title_characters=30,
    text_characters=40,
    attributes=2,
    attribute_characters=10,
    pictures=2,
    picture_bytes=50,
    picture_pixels=500_000,
    decode_seconds=2,
)
TEXTS = st.text(max_size=60)


@given(
    item_id=st.none() | TEXTS,
    title=TEXTS,
    texts=st.dictionaries(TEXTS, TEXTS, max_size=3),
    attributes=st.dictionaries(st.text(max_size=14), st.text(max_size=14), max_size=4),
    pictures=st.dictionaries(st.text(max_size=5), st.binary(max_size=60), max_size=3),
)
@settings(max_examples=300, deadline=None)
def test_what_passes_is_within_all_limits_and_can_be_written(
    item_id: str | None,
    title: str,
    texts: dict[str, str],
    attributes: dict[str, str],
    pictures: dict[str, bytes],
) -> None:
    item = NewItem(item_id, title, texts, pictures, attributes)
    everything = [title, *([] if item_id is None else [item_id]), *texts, *texts.values(), *attributes]
    everything += [*attributes.values(), *pictures]
    fits = (
        (item_id is None or (len(item_id) <= 24 and item_id == item_id.strip() != "" and is_shown(item_id)))
        and len(title) <= 30
        and title.strip() != ""
        and all(len(value) <= 40 for value in texts.values())
        and len(attributes) <= 2
        and all(len(name) <= 10 and len(value) <= 10 for name, value in attributes.items())
        and len(pictures) <= 2
        and all(0 < len(content) <= 50 for content in pictures.values())
        and all("\0" not in text and can_be_written(text) for text in everything)
    )
    try:
        passed = checked(item, LIMITS)
    except UploadRefused:
        assert not fits
    else:
        assert fits
        assert passed.item_id is not None
        assert 0 < len(passed.item_id) <= 24
        assert checked(item, LIMITS) == passed


def is_shown(text: str) -> bool:
    return not any(ord(one) < 32 or 127 <= ord(one) < 160 for one in text)


def can_be_written(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def test_halves_of_surrogate_pairs_are_refused() -> None:
    with pytest.raises(UploadRefused, match="a character that is none"):
        checked(NewItem("a", "\ud83d"), LIMITS)


def test_a_given_id_follows_from_the_whole_content() -> None:
    items = [
        NewItem(None, "a"),
        NewItem(None, "b"),
        NewItem(None, "a", texts={"text": "x"}),
        NewItem(None, "a", attributes={"text": "x"}),
        NewItem(None, "a", pictures={"image": b"x"}),
        NewItem(None, "a", pictures={"image": b"y"}),
    ]
    ids = [checked(item, LIMITS).item_id for item in items]
    assert len(set(ids)) == len(items)
    assert ids == [checked(item, LIMITS).item_id for item in items]


@given(
    width=st.integers(1, 1500),
    height=st.integers(1, 1500),
    noise=st.booleans(),
    side=st.integers(1, 500),
    most_bytes=st.integers(1024, 60_000),
)
@settings(max_examples=60, deadline=None)
def test_small_copies_are_small(width: int, height: int, noise: bool, side: int, most_bytes: int) -> None:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(pixels) if noise else Image.new("RGB", (width, height), "teal")
    content = small_jpeg(image, side, most_bytes)
    assert len(content) <= most_bytes
    with Image.open(io.BytesIO(content)) as copy:
        copy.load()
        assert copy.format == "JPEG"
        assert max(copy.size) <= side
        assert copy.width <= width
        assert copy.height <= height
    assert image.size == (width, height)


def test_a_small_copy_of_a_small_picture_is_of_the_same_size() -> None:
    with Image.open(io.BytesIO(small_jpeg(Image.new("RGB", (SIDE, 7))))) as copy:
        assert copy.size == (SIDE, 7)


@pytest.fixture
def decoding() -> Iterator[Decoding]:
    found = Decoding(LIMITS)
    yield found
    found.close()


@pytest.mark.parametrize("at_least", [None, 5])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_picture_comes_back_as_decode_image_reads_its_file(
    decoding: Decoding, tmp_path: Path, form: str, at_least: int | None
) -> None:
    content = picture(3, form, (41, 23))
    (tmp_path / "file").write_bytes(content)
    decoded = decoding.decode(content, "image", at_least)
    assert decoded.picture.tobytes() == decode_image(tmp_path / "file", at_least).tobytes()
    assert decoded.picture.size == ((11, 6) if form == "JPEG" and at_least else (41, 23))
    with Image.open(io.BytesIO(decoded.small)) as small:
        assert small.size == (41, 23)
    assert len(decoded.small) <= MOST_BYTES


def bomb(side: int) -> bytes:
    """A PNG of a few kilobytes that stands for side x side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack("!IIBBBBB", side, side, 1, 0, 0, 0, 0))
    rows = zlib.compress(bytes((side // 8 + 1) * side), 9)
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "too_large", "message"),
    [
        (bomb(20_000), True, "pixels"),
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n",
            False,
            "no picture of a known format",
        ),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>", False, "no picture"),
        (b"http://localhost/picture.png", False, "no picture"),
        (picture(1, "PNG", (60, 60))[:-300], False, "damaged"),
        (picture(1, "TIFF", (60, 60))[:300], False, "damaged|no picture"),
    ],
    ids=["bomb", "postscript", "svg", "url", "cut png", "cut tiff"],
)
def test_what_is_no_sound_picture_is_refused_and_the_next_one_decoded(
    decoding: Decoding, content: bytes, too_large: bool, message: str
) -> None:
    started = time.perf_counter()
    with pytest.raises(UploadRefused, match=message) as refused:
        decoding.decode(content, "image")
    assert refused.value.too_large is too_large
    assert time.perf_counter() - started < 20
    assert decoding.decode(picture(1), "image").picture.size == (5, 4)


@given(content=st.binary(max_size=200), kind=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0", b"BM"]))
@settings(max_examples=150, deadline=None)
def test_whatever_bytes_come_there_is_an_answer(content: bytes, kind: bytes) -> None:
    found = answer(kind + content, 10_000)
    assert "refused" in found.head or len(found.blobs) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_decoder_has_little_memory_writes_no_file_and_leaves_no_core(decoding: Decoding) -> None:
    decoding.decode(picture(1), "image")
    assert decoding._process is not None
    lines = Path(f"/proc/{decoding._process.pid}/limits").read_text(encoding="ascii").splitlines()
    hard = {line[:26].strip(): line[47:68].strip() for line in lines[1:]}
    assert hard["Max file size"] == "0"
    assert hard["Max core file size"] == "0"
    assert hard["Max open files"] == "16"
    assert 0 < int(hard["Max address space"]) < 3 << 30
    soft = {line[:26].strip(): line[26:47].strip() for line in lines[1:]}
    assert 0 < int(soft["Max cpu time"]) < 60


def test_a_decoder_that_hangs_is_a_refusal_and_one_that_died_is_not_noticed() -> None:
    decoding = Decoding(LIMITS.model_copy(update={"decode_seconds": 1}))
    try:
        decoding.decode(picture(1), "image")
        assert decoding._process is not None
        first = decoding._process.pid
        os.kill(first, signal.SIGSTOP)
        # More than a pipe takes up, so that writing hangs too.
        with pytest.raises(UploadRefused, match="cannot be decoded within"):
            decoding.decode(picture(4, "BMP", (400, 400)), "image")
        assert decoding.decode(picture(1), "image").picture.size == (5, 4)
        second = decoding._process.pid
        assert second != first
        os.kill(second, signal.SIGKILL)
        os.waitid(os.P_PID, second, os.WEXITED | os.WNOWAIT)
        assert decoding.decode(picture(1), "image").picture.size == (5, 4)
    finally:
        decoding.close()


@given(
    head=st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text()), blobs=st.lists(st.binary())
)
@settings(max_examples=100, deadline=None)
def test_frames_come_back_as_they_went(head: dict[str, object], blobs: list[bytes]) -> None:
    stream = io.BytesIO()
    write_frame(stream, Frame(head, blobs))
    write_frame(stream, Frame({}, []))
    stream.seek(0)
    assert read_frame(stream) == Frame(head, blobs)
    assert read_frame(stream) == Frame({}, [])
    assert read_frame(stream) is None


@given(content=st.binary(min_size=1, max_size=300))
@settings(max_examples=200, deadline=None)
def test_what_is_no_frame_is_never_read_as_one(content: bytes) -> None:
    with pytest.raises(FrameError):
        read_frame(io.BytesIO(content))


@pytest.mark.parametrize(
    "head", [b"{}", b"[]", b'{"head": 1, "sizes": []}', b'{"head": {}, "sizes": [-1]}', b'{"head": {}, "sizes": [1e9]}']
)
def test_heads_of_another_form_are_refused(head: bytes) -> None:
    with pytest.raises(FrameError):
        read_frame(io.BytesIO(struct.pack("!I", len(head)) + head))


@pytest.mark.parametrize(
    "error",
    [
        UploadRefused("what", where="where", how="how", too_large=True),
        ItemExists("what", how="how"),
        CannotAdd("what"),
        AdderBusy("what"),
        AdderFailed("what"),
        UnknownItems(["a", "b"]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_pass_from_process_to_process(error: UserError) -> None:
    same = of_data(as_data(error))
    assert type(same) is type(error)
    assert str(same) == str(error)
    assert getattr(same, "too_large", None) == getattr(error, "too_large", None)
    assert getattr(same, "item_ids", None) == getattr(error, "item_ids", None)


@pytest.mark.parametrize("name", ["../../secret", "a" * 63, "A" * 64, "/etc/passwd", "", None, "0" * 64 + "/x"])
def test_only_hashes_name_pictures(tmp_path: Path, name: str | None) -> None:
    assert PictureStore(tmp_path).find(name) is None


def test_pictures_that_nothing_names_are_swept(tmp_path: Path) -> None:
    store = PictureStore(tmp_path)
    assert store.sweep(set()) == 0
    for digit in "01":
        store.keep(digit * 64, b"jpeg")
    (store.folder / f".{'2' * 64}.jpg.tmp").write_bytes(b"half")
    assert store.sweep({"0" * 64}) == 2
    assert [path.name for path in store.folder.iterdir()] == [f"{'0' * 64}.jpg"]
    kept = store.find("0" * 64)
    assert kept is not None
    assert kept.read_bytes() == b"jpeg"
