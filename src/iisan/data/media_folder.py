"""The media of a dataset folder that is being built: check, copy or link, hash, each content once."""

from __future__ import annotations

import errno
import hashlib
import io
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

from iisan.data.checksum import sha256_of_file
from iisan.data.manifest import MEDIA_FOLDER
from iisan.data.media import MediaFile, MediaPolicy
from iisan.data.media_paths import BadMediaError
from iisan.data.pictures import SUFFIX_OF_FORMAT, check_picture

logger = logging.getLogger(__name__)

# Read and hashed at once while a file is copied.
CHUNK_BYTES = 1 << 20


@dataclass
class MediaFolder:
    """The media of one dataset folder.

    Attributes:
        folder: The dataset folder being built.
        policy: What is let in.
        files: What was brought in, by path relative to ``folder``.
    """

    folder: Path
    policy: MediaPolicy
    files: dict[str, MediaFile] = field(default_factory=dict)
    _sources: dict[Path, MediaFile] = field(default_factory=dict)
    _contents: dict[str, MediaFile] = field(default_factory=dict)

    def add_file(self, real: Path, relative: str) -> MediaFile:
        """Bring in a file under its path of origin; a file that is there already is not brought again.

        Args:
            real: The file, without links.
            relative: Its path below ``media/``, known to be safe.

        Raises:
            BadMediaError: It is bad, or another file has that path.
            OSError: The target cannot be written.
        """
        if real not in self._sources:
            self.check_size(str(real), real.stat().st_size)
            check_picture(real, self.policy.check, self.policy.max_pixels)
            self._sources[real] = self._new_file(real, f"{MEDIA_FOLDER}/{relative}")
        return self._sources[real]

    def add_bytes(self, origin: str, content: bytes) -> MediaFile:
        """Bring in bytes under a name made of their SHA-256 and their format; equal bytes become one file.

        Args:
            origin: Where they come from, for messages; what it says decides nothing.
            content: The bytes of a picture file.

        Raises:
            BadMediaError: They are bad, or another file has that name.
            OSError: The target cannot be written.
        """
        digest = hashlib.sha256(content).hexdigest()
        if digest not in self._contents:
            self.check_size(origin, len(content))
            kind = check_picture(io.BytesIO(content), self.policy.check, self.policy.max_pixels, origin)
            # Folders of their first two digits: a million files in one folder are slow to list.
            path = f"{MEDIA_FOLDER}/{digest[:2]}/{digest}{SUFFIX_OF_FORMAT[kind]}"
            if not self._is_there(path, digest, origin):
                target = self._target(path)
                with target.open("xb") as writer:
                    writer.write(content)
                self.files[path] = MediaFile(path, len(content), digest)
            self._contents[digest] = self.files[path]
        return self._contents[digest]

    def check_size(self, origin: str, size: int) -> None:
        """Check the size of a file before it is read.

        Raises:
            BadMediaError: It is empty or too large.
        """
        if size > self.policy.max_bytes:
            raise BadMediaError(
                "too_large", f"{origin} has {size:,} bytes, more than {self.policy.max_bytes:,}", "make it smaller"
            )
        if size == 0:
            raise BadMediaError("unreadable", f"{origin} is empty", "replace it")

    def _new_file(self, real: Path, path: str) -> MediaFile:
        if path in self.files and self._is_there(path, sha256_of_file(real), str(real)):
            return self.files[path]
        target = self._target(path)
        digest = self._transfer(real, target)
        self.files[path] = MediaFile(path, target.stat().st_size, digest)
        return self.files[path]

    def _is_there(self, path: str, digest: str, origin: str) -> bool:
        if path not in self.files:
            return False
        if self.files[path].sha256 != digest:
            raise BadMediaError("name_taken", f"{origin} would have the name of another picture, {path}", "rename it")
        return True

    def _target(self, path: str) -> Path:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _transfer(self, real: Path, target: Path) -> str:
        if self.policy.transfer == "hardlink":
            try:
                os.link(real, target)
                return sha256_of_file(target)
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES):
                    raise
                logger.info("%s copied: it cannot be hard-linked (%s)", real, error)
        return _copy(real, target)


def _copy(source: Path, target: Path) -> str:
    """Copy and hash in one pass."""
    digest = hashlib.sha256()
    try:
        reader = source.open("rb")
    except OSError as error:
        raise BadMediaError("unreadable", f"{source} cannot be read ({error.strerror})", "mend its rights") from error
    with reader, target.open("xb") as writer:
        while chunk := reader.read(CHUNK_BYTES):
            digest.update(chunk)
            writer.write(chunk)
    return digest.hexdigest()
