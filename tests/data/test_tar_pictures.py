"""Pictures in tar archives: what a reference means, and archives that mean harm or are broken."""

from __future__ import annotations

import contextlib
import gzip
import io
import logging
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iisan.data import Dataset, DelimitedImport, import_delimited
from iisan.data.tar_shards import MAX_HEADER_BYTES, ShardReader, TarMember, find_shards, members
from iisan.errors import UserError
from tests.data.picture_files import picture, write_log, write_tar


def run(folder: Path, references: list[str], **options: object) -> Dataset:
    ids = [f"i{row}" for row in range(len(references))]
    write_log(folder, ids)
    rows = [f"{one},t,{reference}\n" for one, reference in zip(ids, references, strict=True)]
    (folder / "items.csv").write_text("item_id,title,image\n" + "".join(rows), encoding="utf-8")
    settings = {"items": folder / "items.csv", "interactions": folder / "log.csv", "image_column": "image"}
    return import_delimited(DelimitedImport.model_validate({**settings, **options}), folder / "out")


def found(dataset: Dataset) -> list[bytes | None]:
    return [None if path is None else path.read_bytes() for path in dataset.image_paths("image")]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("reference", ["./pictures/a.b.png", "pictures/a.b.png", "pictures/a.b", "a.b.png", "a.b"])
def test_what_a_reference_means(tmp_path: Path, reference: str, packed: bool) -> None:
    files = {"./pictures/a.b.png": picture(1), "pictures/a.b.json": b"{}", "pictures/c.JPG": picture(2, "JPEG")}
    shard = write_tar(tmp_path / "x.tar", files, packed)
    dataset = run(tmp_path, [reference, "", "c"], media_tar=[str(shard)])
    assert found(dataset) == [picture(1), None, picture(2, "JPEG")]


def test_the_item_id_as_the_key_of_a_shard(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    for row in range(3):
        write_tar(tmp_path / "shards" / f"{row}.tar", {f"i{row}.png": picture(row), f"i{row}.txt": b"x"})
    expected = [picture(0), picture(1), picture(2)]
    for name in ("shards", "shards/*.tar", "shards/{0..2}.tar"):
        dataset = run(tmp_path, [""] * 3, media_tar=[str(tmp_path / name)], image_column="item_id", overwrite=True)
        assert found(dataset) == expected


def test_a_whole_path_comes_before_a_file_name(tmp_path: Path) -> None:
    files = {"x/a.png": picture(1), "a.png": picture(2), "y/a.png": picture(3)}
    dataset = run(tmp_path, ["a.png", "a", "y/a", "x/a.png"], media_tar=[str(write_tar(tmp_path / "x.tar", files))])
    assert found(dataset) == [picture(2), picture(2), picture(3), picture(1)]


@pytest.mark.parametrize(
    ("files", "reference"),
    [
        ([("x/a.png", 1), ("y/a.png", 2)], "a.png"),
        ([("x/a.png", 1), ("y/a.jpg", 2)], "a"),
        ([("a.png", 1), ("a.jpg", 2)], "a"),
        ([("a.png", 1), ("a.png", 2)], "a.png"),
    ],
)
def test_two_pictures_for_one_reference(tmp_path: Path, files: list[tuple[str, int]], reference: str) -> None:
    shard = write_tar(tmp_path / "x.tar", [(name, picture(seed)) for name, seed in files])
    with pytest.raises(UserError, match=rf"image of item 'i0': '{reference}' may be .* or .*x\.tar"):
        run(tmp_path, [reference], media_tar=[str(shard)])
    dataset = run(tmp_path, [reference], media_tar=[str(shard)], on_bad_media="skip")
    assert dataset.manifest.source.dropped == {"image:ambiguous": 1}


def hostile(path: Path) -> Path:
    """Names that climb, links, devices and a directory beside one good picture."""
    with tarfile.open(path, "w") as archive:
        for name in ("../up.png", "/tmp/abs.png", "x/../../up.png"):
            info = tarfile.TarInfo(name)
            info.size = len(picture(1))
            archive.addfile(info, io.BytesIO(picture(1)))
        kinds = {"link.png": tarfile.SYMTYPE, "hard.png": tarfile.LNKTYPE, "pipe.png": tarfile.FIFOTYPE}
        for name, kind in {**kinds, "disk.png": tarfile.BLKTYPE, "tty.png": tarfile.CHRTYPE}.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/hostname"
            archive.addfile(info)
        folder = tarfile.TarInfo("folder.png")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        good = tarfile.TarInfo("good.png")
        good.size = len(picture(2))
        archive.addfile(good, io.BytesIO(picture(2)))
    return path


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("../up.png", "unsafe_path"),
        ("/tmp/abs.png", "unsafe_path"),
        ("x/../../up.png", "unsafe_path"),
        ("https://example.org/good.png", "url"),
        *((name, "missing_file") for name in ("up.png", "abs", "link.png", "hard.png", "pipe.png", "disk.png")),
        ("tty.png", "missing_file"),
        ("folder.png", "missing_file"),
        ("none", "missing_file"),
    ],
)
def test_only_regular_files_of_plain_names_are_read(
    tmp_path: Path, reference: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    shard = hostile(tmp_path / "x.tar")
    with pytest.raises(UserError, match="image of item 'i1'"):
        run(folder, ["good.png", reference], media_tar=[str(shard)])
    with caplog.at_level(logging.WARNING, logger="iisan"):
        dataset = run(folder, ["good.png", reference], media_tar=[str(shard)], on_bad_media="skip")
    assert found(dataset) == [picture(2), None]
    assert dataset.manifest.source.dropped == {f"image:{reason}": 1}
    assert "x.tar: 8 members left out: links, devices or unsafe names" in caplog.text
    assert sorted(path.name for path in tmp_path.rglob("*.png")) == [dataset.image_paths("image")[0].name]  # type: ignore[union-attr]


def test_a_member_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = write_tar(tmp_path / "x.tar", {"big.png": bytes(100_000), "small.png": picture(1)})
    read: list[str] = []
    original = ShardReader.read

    def noted(reader: ShardReader, member: TarMember) -> bytes:
        read.append(member.name)
        return original(reader, member)

    monkeypatch.setattr(ShardReader, "read", noted)
    dataset = run(tmp_path, ["big", "small"], media_tar=[str(shard)], max_media_bytes=99_999, on_bad_media="skip")
    assert read == ["small.png"]
    assert dataset.manifest.source.dropped == {"image:too_large": 1}


def test_a_member_that_two_items_share_is_read_once_and_counted_twice(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "x.tar", {"a.png": picture(1), "b.png": b"no picture"})
    dataset = run(tmp_path, ["a", "b", "a.png", "b.png"], media_tar=[str(shard)], on_bad_media="skip")
    assert found(dataset) == [picture(1), None, picture(1), None]
    assert dataset.manifest.source.dropped == {"image:unreadable": 2}


@pytest.mark.parametrize("packed", [False, True])
def test_a_truncated_archive_is_one_line(tmp_path: Path, packed: bool) -> None:
    whole = write_tar(tmp_path / "x.tar", {f"{n}.png": picture(n, "BMP", (30, 30)) for n in range(4)}).read_bytes()
    content = whole.rstrip(b"\0")
    member = 512 + -(-len(picture(0, "BMP", (30, 30))) // 512) * 512
    for cut in (100, 512, 600, member, member + 200, 2 * member + 700, 4 * member, len(content) - 1):
        part = content[:cut]
        (tmp_path / "x.tar").write_bytes(gzip.compress(part) if packed else part)
        with pytest.raises(UserError, match=r"x\.tar: no readable tar archive .* cut off"):
            run(tmp_path, ["0"], media_tar=[str(tmp_path / "x.tar")])
    (tmp_path / "x.tar").write_bytes(gzip.compress(whole)[:-20])
    with pytest.raises(UserError, match=r"x\.tar: no readable tar archive"):
        run(tmp_path, ["0"], media_tar=[str(tmp_path / "x.tar")])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["items.csv", "log.csv", "x.tar"]


@pytest.mark.parametrize("content", [b"", b"<html></html>", bytes(300), b"\x1f\x8b\x08 broken", b"x" * 2000])
def test_what_is_no_archive_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(UserError, match=r"x\.tar: no readable tar archive"):
        list(members(tmp_path / "x.tar"))


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, MAX_HEADER_BYTES * 4
    (tmp_path / "x.tar").write_bytes(gzip.compress(info.tobuf() + bytes(info.size + 1024), 1))
    with pytest.raises(UserError, match="a header has"):
        list(members(tmp_path / "x.tar"))


def test_a_negative_size_does_not_run_in_circles(tmp_path: Path) -> None:
    header = bytearray(tarfile.TarInfo("x.png").tobuf())
    header[124:136] = b"\xff" * 10 + b"\xfc\x00"  # -1024 in base 256
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "x.tar").write_bytes(bytes(header) * 3 + bytes(1024))
    with pytest.raises(UserError, match="no readable tar archive"):
        list(members(tmp_path / "x.tar"))


@settings(max_examples=150, deadline=None)
@given(position=st.integers(0, 2047), value=st.integers(0, 255), pax=st.booleans())
def test_an_archive_with_a_wrong_byte_is_read_or_refused(position: int, value: int, pax: bool) -> None:
    buffer = io.BytesIO()
    form = tarfile.PAX_FORMAT if pax else tarfile.GNU_FORMAT
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name in ("n" * 120 + "ü.png", "b.png"):
            info = tarfile.TarInfo(name)
            info.size = 3
            archive.addfile(info, io.BytesIO(b"abc"))
    content = bytearray(buffer.getvalue())
    content[position] = value
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "x.tar"
        path.write_bytes(bytes(content))
        with contextlib.suppress(UserError):
            for member in members(path):
                assert ".." not in member.name.split("/")
                assert not member.name.startswith("/")
                assert len(ShardReader().read(member)) == member.size


@pytest.mark.parametrize("pattern", ["none.tar", "empty", "*.tar", "{0..3}.tar"])
def test_patterns_that_name_no_archive(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("x")
    for number in (0, 1, 3):
        if pattern.startswith("{"):
            write_tar(tmp_path / f"{number}.tar", {})
    with pytest.raises(UserError, match="there is no tar archive"):
        find_shards([str(tmp_path / pattern)])


def test_folder_and_archives_at_once_are_refused(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "x.tar", {"a.png": picture(1)})
    with pytest.raises(UserError, match="media_root or media_tar, not both"):
        run(tmp_path, ["a"], media_tar=[str(shard)], media_root=tmp_path)


@pytest.mark.parametrize("numbers", ["{000..9999999999}", "{0..400}-{0..400}", "{0..{0..99999}}"])
def test_a_range_of_more_names_than_anybody_has(tmp_path: Path, numbers: str) -> None:
    with pytest.raises(UserError, match=r"more than 100,000 names; narrow them"):
        find_shards([str(tmp_path / f"shard-{numbers}.tar")])


def test_a_number_too_long_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="File name too long"):
        find_shards([str(tmp_path / f"shard-{{0..{'9' * 5000}}}.tar")])
