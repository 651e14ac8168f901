"""Samples of WebDataset shards: files that share a key, metadata read and pictures left where they are."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from iisan.data.importers.json_values import json_text
from iisan.data.media import Progress
from iisan.data.tar_shards import TarMember, scan
from iisan.errors import UserError

KEY_FIELD = "__key__"
METADATA = "json"
# The largest JSON or text of one sample.
MAX_METADATA_BYTES = 16 << 20
# Up to the first dot of the file name is the key; what follows is the extension. Hidden files belong to no sample.
NAME = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)", re.DOTALL)
MAX_NAMES = 1000

_File = tuple[str, str, TarMember, Callable[[], bytes]]


@dataclass
class Samples:
    """The samples of some shards, in their order.

    Attributes:
        fields: Values of each field that was asked for ``[N]``, None where a sample lacks it.
        pictures: Picture of each sample ``[N]`` by modality, None where it has none.
        shards: The archive of each sample ``[N]``.
        names: All fields that there are, asked for or not; of very many the first.
    """

    fields: dict[str, list[str | None]]
    pictures: dict[str, list[TarMember | None]]
    shards: list[Path] = field(default_factory=list)
    names: dict[str, None] = field(default_factory=dict)

    def where(self, row: int) -> str:
        """Name a sample for an error."""
        return f"{self.shards[row]}, sample {self.fields[KEY_FIELD][row]}"


def read_samples(
    shards: Sequence[Path],
    fields: Sequence[str],
    extensions: Mapping[str, Sequence[str]],
    progress: Progress | None = None,
) -> Samples:
    """Read the metadata of all samples and find their pictures.

    Args:
        shards: The archives.
        fields: What is wanted: ``__key__``, keys of the ``.json`` files, or extensions of text files such as ``txt``.
            An extension hides a key of the same name.
        extensions: For each image modality the extensions of its file; the first that a sample has counts.
        progress: Called as ``(done, total, label)`` after each archive.

    Raises:
        UserError: An archive, JSON or text is damaged or too large, or a sample has two files of one extension.
    """
    samples = Samples({name: [] for name in dict.fromkeys([KEY_FIELD, *fields])}, {name: [] for name in extensions})
    for done, shard in enumerate(shards, start=1):
        for key, files in groupby(_files(shard), key=lambda file: file[0]):
            _add(samples, shard, key, files, extensions)
        if progress is not None:
            progress(done, len(shards), "archives")
    return samples


def _files(shard: Path) -> Iterator[_File]:
    for member, read in scan(shard):
        match = NAME.fullmatch(member.name)
        if match is not None:
            yield match[1], match[2].lower(), member, read


def _add(
    samples: Samples, shard: Path, key: str, files: Iterator[_File], extensions: Mapping[str, Sequence[str]]
) -> None:
    record: dict[str, Any] = {}
    texts: dict[str, str] = {KEY_FIELD: key}
    there: dict[str, TarMember] = {}
    for _, extension, member, read in files:
        if extension in there:
            raise UserError(f"sample {key!r} has two files .{extension}", where=str(shard), how="give each its own key")
        there[extension] = member
        # Read at once: a packed archive gives its files in their order only.
        if extension == METADATA:
            record = _record(member, read)
        elif extension in samples.fields:
            texts[extension] = _text(member, read)
    _note_names(samples, [KEY_FIELD, *record, *(one for one in there if one != METADATA)])
    for name, values in samples.fields.items():
        values.append(texts[name] if name in texts else _value(shard, key, name, record.get(name)))
    for modality, choices in extensions.items():
        samples.pictures[modality].append(next((there[one] for one in choices if one in there), None))
    samples.shards.append(shard)


def _note_names(samples: Samples, names: Sequence[str]) -> None:
    if len(samples.names) < MAX_NAMES:
        samples.names.update(dict.fromkeys(names))
    else:
        samples.names.update(dict.fromkeys(name for name in names if name in samples.fields))


def _record(member: TarMember, read: Callable[[], bytes]) -> dict[str, Any]:
    try:
        record = json.loads(_content(member, read))
    except (ValueError, RecursionError) as error:
        raise UserError(f"malformed JSON ({error})", where=str(member), how="mend it") from error
    if not isinstance(record, dict):
        raise UserError("the JSON is not an object", where=str(member), how="put fields and values in braces")
    return record


def _text(member: TarMember, read: Callable[[], bytes]) -> str:
    try:
        return _content(member, read).decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise UserError(f"the text is not UTF-8 ({error})", where=str(member), how="convert it") from error


def _content(member: TarMember, read: Callable[[], bytes]) -> bytes:
    if member.size > MAX_METADATA_BYTES:
        raise UserError(f"{member.size:,} bytes of text are too many", where=str(member), how="leave the field out")
    return read()


def _value(shard: Path, key: str, name: str, value: Any) -> str | None:
    try:
        return json_text(value)
    except UserError as error:
        raise UserError(f"field {name!r}: {error.what}", where=f"{shard}, sample {key}", how=error.how) from error
