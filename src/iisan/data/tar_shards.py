"""Reading tar archives, plain or gzip: where each regular file lies, and its bytes. Nothing is ever extracted."""

from __future__ import annotations

import contextlib
import functools
import glob
import gzip
import itertools
import logging
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from iisan.errors import UserError

logger = logging.getLogger(__name__)

SHARD_SUFFIXES = (".tar", ".tar.gz", ".tgz")
READ_ERRORS = (OSError, EOFError, zlib.error, tarfile.TarError, UnicodeError, ValueError, OverflowError)
GZIP_MAGIC = b"\x1f\x8b"
# An extended header holds a long name; tarfile reads one of any size into memory.
MAX_HEADER_BYTES = 1 << 20
CHUNK_BYTES = 1 << 20
# Python turns no more than some thousand digits into a number.
NUMBERS = re.compile(r"\{(\d{1,99})\.\.(\d{1,99})\}")
MAX_NAMES = 100_000


@dataclass(frozen=True, slots=True)
class TarMember:
    """A regular file in an archive.

    Attributes:
        shard: The archive.
        name: Its path in there, relative and without ``..``.
        offset: Where its bytes start in the (unpacked) archive.
        size: How many they are.
    """

    shard: Path
    name: str
    offset: int
    size: int

    def __str__(self) -> str:
        """For messages."""
        return f"{self.name} in {self.shard}"


def find_shards(patterns: Sequence[str]) -> list[Path]:
    """The archives that some patterns name, each once, in order.

    Args:
        patterns: Each an archive, a folder of ``.tar``, ``.tar.gz`` and ``.tgz`` files, a pattern with ``*``, or one
            with numbers as WebDataset writes them, ``shard-{000..012}.tar``.

    Raises:
        UserError: One names no archive, or its numbers make more than 100,000 names.
    """
    found: dict[Path, None] = {}
    for name in (one for pattern in patterns for one in _names(pattern)):
        try:
            shards = _matching(name)
        except OSError as error:
            raise UserError(
                f"no archive can be looked up ({error.strerror})", where=name, how="name another"
            ) from error
        if not shards:
            raise UserError("there is no tar archive", where=name, how="name a .tar file, their folder or a pattern")
        found |= dict.fromkeys(shards)
    return list(found)


def members(shard: Path) -> Iterator[TarMember]:
    """The regular files of an archive in its order; see :func:`scan`.

    Raises:
        UserError: The archive is missing, damaged or cut off.
    """
    return (member for member, _ in scan(shard))


def scan(shard: Path) -> Iterator[tuple[TarMember, Callable[[], bytes]]]:
    """The regular files of an archive in its order, each with what reads its bytes before the next one is asked for.

    Links, devices, sparse files and names that are absolute, climb with ``..`` or are no UTF-8 are left out.

    Raises:
        UserError: The archive is missing, damaged or cut off.
    """
    left_out = 0
    with _reading(shard), _open(shard) as stream, _archive(stream) as archive:
        end = 0
        while (info := archive.next()) is not None:
            # Kept by tarfile for a lookup by name that nobody does here: a kilobyte a member.
            archive.members.clear()  # type: ignore[attr-defined]
            if info.size < 0 or archive.offset <= end:
                raise tarfile.ReadError("a size is negative")
            end = archive.offset
            name = _safe_name(info.name)
            if info.isreg() and not info.issparse() and name is not None:
                member = TarMember(shard, name, info.offset_data, info.size)
                yield member, functools.partial(_read, stream, member)
            elif not info.isdir():
                left_out += 1
        _check_end(stream, end)
    if left_out:
        logger.warning("%s: %d members left out: links, devices or unsafe names", shard, left_out)


class ShardReader:
    """Reads members; quick where they come in the order of shard and offset."""

    def __init__(self) -> None:
        self._shard: Path | None = None
        self._stream: BinaryIO | None = None

    def read(self, member: TarMember) -> bytes:
        """The bytes of a member.

        Raises:
            UserError: The archive is damaged or has changed since its members were listed.
        """
        with _reading(member.shard):
            if self._stream is None or self._shard != member.shard:
                self.close()
                self._shard, self._stream = member.shard, _open(member.shard)
            return _read(self._stream, member)

    def close(self) -> None:
        """Close the archive that is open, if any."""
        if self._stream is not None:
            self._stream.close()
        self._shard = self._stream = None


class _Headers:
    """A stream of which no more than a header is read at once."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        if not 0 <= size <= MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header has {size:,} bytes")
        return self._stream.read(size)

    def seek(self, offset: int) -> int:
        return self._stream.seek(offset)

    def tell(self) -> int:
        return self._stream.tell()


def _names(pattern: str) -> list[str]:
    names = list(itertools.islice(_expanded(pattern), MAX_NAMES + 1))
    if len(names) > MAX_NAMES:
        what = f"the numbers in braces make more than {MAX_NAMES:,} names"
        raise UserError(what, where=pattern, how="narrow them, or name the folder of the archives")
    return names


def _expanded(pattern: str) -> Iterator[str]:
    match = NUMBERS.search(pattern)
    if match is None:
        yield pattern
        return
    first, last = match.groups()
    numbers = range(int(first), int(last) + 1)
    before, after = pattern[: match.start()], pattern[match.end() :]
    for number in numbers:
        yield from _expanded(f"{before}{number:0{len(first)}}{after}")


def _matching(pattern: str) -> list[Path]:
    path = Path(pattern)
    if path.is_dir():
        return sorted(one for one in path.iterdir() if one.name.endswith(SHARD_SUFFIXES) and one.is_file())
    if path.is_file():
        return [path]
    return sorted(one for name in glob.glob(pattern) if (one := Path(name)).is_file())  # noqa: PTH207  (may be absolute)


def _archive(stream: BinaryIO) -> tarfile.TarFile:
    return tarfile.TarFile(fileobj=cast(BinaryIO, _Headers(stream)), mode="r", errorlevel=2)


def _read(stream: BinaryIO, member: TarMember) -> bytes:
    stream.seek(member.offset)
    content = stream.read(member.size)
    if len(content) != member.size:
        raise tarfile.ReadError(f"cut off in {member.name}")
    return content


def _open(shard: Path) -> BinaryIO:
    with shard.open("rb") as file:
        packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    return cast(BinaryIO, gzip.open(shard, "rb")) if packed else shard.open("rb")


@contextlib.contextmanager
def _reading(shard: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise UserError("the archive does not exist", where=str(shard)) from None
    except READ_ERRORS as error:
        raise UserError(
            f"no readable tar archive ({error})", where=str(shard), how="fetch or make it again; it may be cut off"
        ) from error


def _check_end(stream: BinaryIO, end: int) -> None:
    # tarfile takes a damaged header for the end.
    stream.seek(end)
    if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"it has no end mark at byte {end:,}")
    if isinstance(stream, gzip.GzipFile):
        # Its checksum stands behind the last byte.
        while stream.read(CHUNK_BYTES):
            pass


def _safe_name(name: str) -> str | None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or not path.parts:
        return None
    try:
        name.encode()
    except UnicodeEncodeError:
        return None
    return path.as_posix()
