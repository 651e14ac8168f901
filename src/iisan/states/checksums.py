"""The files of a store compared with the checksums in its manifest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from iisan.data.checksum import sha256_of_file
from iisan.errors import UserError
from iisan.states.manifest import Manifest


def checksum_problems(folder: Path, manifest: Manifest) -> Iterator[str]:
    """A line for each file that is missing or changed."""
    for file in manifest.files:
        try:
            actual = sha256_of_file(folder / file.file)
        except OSError as error:
            yield f"{file.file}: cannot be read ({error.strerror or error})"
            continue
        if actual != file.sha256:
            yield f"{file.file}: its SHA-256 is {actual[:12]}…, not {file.sha256[:12]}…"


def require_checksums(folder: Path, manifest: Manifest) -> None:
    """Check every file of a store.

    Raises:
        UserError: One is missing or changed; the first is named.
    """
    for problem in checksum_problems(folder, manifest):
        how = "restore the store or make it anew (`iisan states verify` names all that is wrong)"
        raise UserError(f"the store is damaged: {problem}", where=str(folder), how=how)
