"""Pictures that are members of tar archives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from iisan.data.media import Progress
from iisan.data.media_paths import BadMediaError, relative_media_path
from iisan.data.picture_source import BadPicture, BytesPicture, Picture
from iisan.data.pictures import PICTURE_SUFFIXES
from iisan.data.tar_shards import ShardReader, TarMember, members


@dataclass(frozen=True)
class TarPictures:
    """A picture source of tar members; see :class:`iisan.data.picture_source.PictureSource`.

    Attributes:
        found: Picture of each item ``[N]``: a member, why there is none, or None where none is wanted.
    """

    found: Sequence[TarMember | BadMediaError | None]

    def __len__(self) -> int:
        """Number of items N."""
        return len(self.found)

    def pictures(self) -> Iterator[tuple[Sequence[int], Picture]]:
        """The bad ones first, then the pictures in the order of their archives.

        Raises:
            UserError: An archive is damaged.
        """
        wanted: dict[TarMember, list[int]] = {}
        for row, one in enumerate(self.found):
            if isinstance(one, BadMediaError):
                yield [row], BadPicture(one)
            elif one is not None:
                wanted.setdefault(one, []).append(row)
        with closing(ShardReader()) as reader:
            for member in sorted(wanted, key=lambda one: (one.shard, one.offset)):
                yield wanted[member], _picture(reader, member)


def _picture(reader: ShardReader, member: TarMember) -> BytesPicture:
    return BytesPicture(str(member), member.size, lambda: reader.read(member))


@dataclass
class _Match:
    """The best member for a reference so far, and another that is just as good."""

    level: int
    member: TarMember
    rival: TarMember | None = None


def find_in_shards(
    shards: Sequence[Path], references: Sequence[str | None], progress: Progress | None = None
) -> TarPictures:
    """Find the member that each reference means.

    A reference is the path of a member, or that path without the suffix of a picture; failing that, the file name at
    the end of one, with or without suffix (so ``B00X`` means ``pictures/B00X.jpg``).

    Args:
        shards: The archives.
        references: As the data have them ``[N]``; None or blank where an item has no picture.
        progress: Called as ``(done, total, label)`` after each archive.

    Raises:
        UserError: An archive cannot be read.
    """
    keys = [None if one is None or not one.strip() else _key(one) for one in references]
    matches: dict[str, _Match | None] = dict.fromkeys(key for key in keys if isinstance(key, str))
    for done, shard in enumerate(shards, start=1):
        for member in members(shard):
            for level, alias in enumerate(_aliases(member.name)):
                if alias in matches:
                    matches[alias] = _better(matches[alias], level, member)
        if progress is not None:
            progress(done, len(shards), "archives")
    return TarPictures([key if not isinstance(key, str) else _outcome(key, matches[key]) for key in keys])


def _key(reference: str) -> str | BadMediaError:
    try:
        return relative_media_path(reference).as_posix()
    except BadMediaError as bad:
        return bad


def _aliases(name: str) -> tuple[str, ...]:
    """What may mean a member, best first."""
    path = PurePosixPath(name)
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        return name, name, path.name, path.name
    return name, path.with_suffix("").as_posix(), path.name, path.stem


def _better(best: _Match | None, level: int, member: TarMember) -> _Match:
    if best is None or level < best.level:
        return _Match(level, member)
    if level == best.level and member != best.member:
        best.rival = member
    return best


def _outcome(key: str, match: _Match | None) -> TarMember | BadMediaError:
    if match is None:
        return BadMediaError("missing_file", f"no regular file in the archives is {key!r}", "add it")
    if match.rival is not None:
        return BadMediaError(
            "ambiguous", f"{key!r} may be {match.member} or {match.rival}", "name its whole path, once"
        )
    return match.member
