"""Small copies of items' pictures, and a bounded number of bytes of them in memory."""

from __future__ import annotations

import hashlib
import io
import logging
import threading
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from iisan.data.decode import MAX_PIXELS, decode_image
from iisan.data.pictures import PICTURE_FORMATS
from iisan.errors import UserError

logger = logging.getLogger(__name__)

QUALITY = 85
# Pillow decodes a JPEG at a fraction of its size, which must stay above the wanted one by this to look as good.
MARGIN = 2


@dataclass(frozen=True)
class Thumbnail:
    """A JPEG.

    Attributes:
        content: Its bytes.
        tag: A strong entity tag, quotes included.
    """

    content: bytes
    tag: str


class Thumbnails:
    """Scaled pictures by file; one is decoded at a time, which bounds the memory that decoding takes.

    Args:
        side: Longer side in pixels; smaller pictures stay as they are.
        most_bytes: What is kept of those made last.
    """

    def __init__(self, side: int, most_bytes: int) -> None:
        self.side = side
        self.most_bytes = most_bytes
        self._kept: OrderedDict[tuple[str, int, int], Thumbnail] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._decoding = threading.Lock()

    def of(self, path: Path) -> Thumbnail | None:
        """The small copy of a picture file, None where it is gone or damaged, which is logged.

        Safe to call from several threads.
        """
        try:
            stat = path.stat()
            key = str(path), stat.st_mtime_ns, stat.st_size
            kept = self._get(key)
            if kept is not None:
                return kept
            with self._decoding:
                kept = self._get(key)  # of somebody who was first
                return kept or self._put(key, _small_copy(path, self.side))
        except (OSError, UserError) as error:
            logger.warning("no picture: %s", error)
            return None

    def _get(self, key: tuple[str, int, int]) -> Thumbnail | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _put(self, key: tuple[str, int, int], thumbnail: Thumbnail) -> Thumbnail:
        with self._lock:
            self._kept[key] = thumbnail
            self._bytes += len(thumbnail.content)
            while self._bytes > self.most_bytes:
                self._bytes -= len(self._kept.popitem(last=False)[1].content)
        return thumbnail


def _small_copy(path: Path, side: int) -> Thumbnail:
    picture = _decoded(path, side)
    picture.thumbnail((side, side))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=QUALITY)
    content = stream.getvalue()
    return Thumbnail(content, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def _decoded(path: Path, side: int) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about large pictures; the bound here is what counts.
            with Image.open(path, formats=PICTURE_FORMATS) as picture:
                _require_bounded(picture, path)
                picture.draft("RGB", (MARGIN * side, MARGIN * side))
                return decode_image(picture)
    except (UserError, OSError):
        raise
    except Exception as error:  # Pillow's readers raise nearly any exception on a damaged file.
        raise UserError(f"cannot be decoded ({type(error).__name__})", where=str(path), how="replace it") from error


def _require_bounded(picture: Image.Image, path: Path) -> None:
    # Before anything is decoded, and of the picture's own size rather than that of a draft.
    if picture.width * picture.height > MAX_PIXELS:
        raise UserError(f"the picture has more than {MAX_PIXELS:,} pixels", where=str(path), how="scale it down")
