"""A list of picture addresses for a download tool; nothing is fetched here."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from iisan.errors import UserError, unwritable


@contextlib.contextmanager
def image_url_list(path: Path, output: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield the temporary file for a list that takes its place at the end of a block without error.

    Args:
        path: Where the list goes.
        output: The dataset that is made meanwhile; the list may not lie in it.
        overwrite: Replace a file that is there.

    Raises:
        UserError: The list would lie in the dataset, is there already, or cannot be written.
    """
    if path.absolute().is_relative_to(output.absolute()):
        raise UserError("the list may not lie in the dataset", where=str(path), how="name a place beside it")
    if path.exists() and not (overwrite and path.is_file()):
        raise UserError("the list of addresses is there already", where=str(path), how="choose another name")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
    except OSError as error:
        raise unwritable(path, error, what="the list") from error
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_image_urls(path: Path, item_ids: Sequence[str], urls: Sequence[str | None]) -> int:
    """Write lines `item<TAB>address`; an address that is none of the web, or holds white space, is left out.

    Args:
        path: The file.
        item_ids: Ids ``[N]``.
        urls: Addresses ``[N]``, None where there is none.

    Returns:
        The number of lines.

    Raises:
        UserError: The file cannot be written.
    """
    listed = 0
    try:
        with path.open("w", encoding="utf-8", newline="\n") as stream:
            for item_id, url in zip(item_ids, urls, strict=True):
                if url is not None and _is_plain(url) and not any(one in item_id for one in "\t\r\n"):
                    stream.write(f"{item_id}\t{url}\n")
                    listed += 1
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise unwritable(path, error, what="the list") from error
    return listed


def _is_plain(url: str) -> bool:
    return url.startswith(("https://", "http://")) and len(url.split()) == 1 and url.isprintable()
