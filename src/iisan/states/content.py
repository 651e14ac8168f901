"""The content that an item has in one modality: a text, a file, or nothing."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from iisan.data.checksum import sha256_of_file, sha256_of_text

Content = str | Path
# What encoders take: also a picture that somebody else has decoded.
Media = Content | Image.Image


def is_missing(content: Media | None) -> bool:
    """Whether an item lacks the modality: it has no content, or a blank text."""
    return content is None or (isinstance(content, str) and not content.strip())


def content_hash(content: Content | None) -> str | None:
    """Hex SHA-256 of a text's UTF-8 bytes or of a file's bytes; ``None`` where the content is missing.

    Raises:
        OSError: The file cannot be read.
    """
    if content is None or is_missing(content):
        return None
    return sha256_of_text(content) if isinstance(content, str) else sha256_of_file(content)
