"""Decoding of uploaded pictures in a process of its own, which is started again when a picture ended it."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
from dataclasses import dataclass

from PIL import Image

from iisan.data.small_jpeg import MOST_BYTES
from iisan.serving.adder_errors import UploadRefused
from iisan.serving.adder_frames import Frame, FrameError, read_frame, write_frame
from iisan.serving.upload_limits import UploadLimits

logger = logging.getLogger(__name__)

_PROGRAM = "iisan.serving.adder_decoder"
# All that the process gets of the environment: where Python finds its files.
_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "SYSTEMROOT", "LANG", "LC_ALL")
# Of elapsed time for each second of processor time, as others use the processor too.
_PATIENCE = 4


@dataclass(frozen=True)
class DecodedPicture:
    """An uploaded picture.

    Attributes:
        picture: In mode RGB, as its encoder wants it.
        small: A small copy as a JPEG file.
    """

    picture: Image.Image
    small: bytes


class Decoding:
    """Decodes pictures, one at a time.

    Args:
        limits: Pixels and time that a picture may take.
    """

    def __init__(self, limits: UploadLimits) -> None:
        self.limits = limits
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the process where it does not run, so that the first picture need not wait for that."""
        if self._process is None or self._process.poll() is not None:
            self._process = _started(self.limits)

    def decode(self, content: bytes, name: str, at_least: int | None = None) -> DecodedPicture:
        """Decodes one picture file.

        Args:
            content: Its bytes.
            name: For messages.
            at_least: What its encoder wants it decoded with; see :func:`~iisan.data.decode.decode_image`.

        Raises:
            UploadRefused: It is no picture, damaged, or takes too much memory or time.
        """
        self.start()
        answer = self._ask(content, at_least)
        if answer is None:
            self.close()
            self.start()
            raise UploadRefused(
                f"the picture {name!r} cannot be decoded within the memory and the {self.limits.decode_seconds} s "
                "that a picture may take",
                how="save it again as a JPEG or PNG, smaller",
            )
        if "refused" in answer.head:
            raise UploadRefused(
                f"{answer.head['refused']} ({name})",
                how="send another picture file",
                too_large=bool(answer.head.get("too_large")),
            )
        return _decoded(answer, self.limits.picture_pixels)

    def close(self) -> None:
        """Ends the process."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        process.wait()

    def _ask(self, content: bytes, at_least: int | None) -> Frame | None:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            return None
        timer = threading.Timer(_PATIENCE * self.limits.decode_seconds, process.kill)
        timer.start()
        try:
            write_frame(process.stdin, Frame({"at_least": at_least}, [content]))  # type: ignore[arg-type]
            return read_frame(process.stdout)  # type: ignore[arg-type]
        except (OSError, FrameError) as error:
            logger.warning("the process that decodes pictures ended (%s)", error)
            return None
        finally:
            timer.cancel()


def _started(limits: UploadLimits) -> subprocess.Popen[bytes]:
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    words = [sys.executable, "-P", "-m", _PROGRAM, str(limits.picture_pixels), str(limits.decode_seconds)]
    return subprocess.Popen(  # noqa: S603 - a program of ours with two numbers
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**environment, **threads},
        start_new_session=True,
        cwd="/" if os.name != "nt" else None,
    )


def _decoded(answer: Frame, max_pixels: int) -> DecodedPicture:
    """What the process says, believed only as far as it fits."""
    width, height = (side if isinstance(side := answer.head.get(name), int) else 0 for name in ("width", "height"))
    pixels, small = answer.blobs if len(answer.blobs) == 2 else (b"", b"")
    fits = width > 0 and height > 0 and width * height <= max_pixels and len(pixels) == 3 * width * height
    if not fits or len(small) > MOST_BYTES:
        raise UploadRefused("the picture cannot be decoded", how="save it again as a JPEG or PNG")
    return DecodedPicture(Image.frombytes("RGB", (width, height), pixels), small)
