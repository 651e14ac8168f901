"""Adds items in children of one process that has loaded everything, and kills them.

Loading takes seconds and a fork milliseconds, so the moment of a kill falls into the work. As a program it reads a
request a line, ``{"requests": [...], "after": 0.1}``, forks a child that answers these requests one after the other,
kills it so many seconds after its start, and answers with how many requests the child had answered.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PIXELS = 100_000


class AdderChildren:
    """The program as a context manager."""

    def __init__(self, model: Path, encoders: tuple[str, ...]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(model), *encoders],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Nothing may run in parallel before the fork: a child has only the thread that forked.
            env={**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
            cwd=Path(__file__).parents[2],
        )

    def __enter__(self) -> Self:
        self.seconds = float(self._line())
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def killed(self, requests: list[dict[str, Any]], after: float) -> int:
        """How many of the requests a child had answered when it was killed."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"requests": requests, "after": after}) + "\n")
        self._process.stdin.flush()
        return int(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the program died"
        return line


def picture(color: int) -> bytes:
    """A picture file of one colour."""
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (32, 32), (color % 256, color // 256 % 256, 7)).save(stream, "PNG")
    return stream.getvalue()


def serve(model: Path, encoders: tuple[str, ...]) -> None:
    """Answers requests until the input ends."""
    import torch

    from iisan.serving import adder_decoder, adder_worker, decoding
    from iisan.serving.adder_options import AdderOptions
    from iisan.serving.new_item import NewItem
    from iisan.serving.upload_limits import UploadLimits

    class DecodingHere(decoding.Decoding):
        """In this process: children would share the pipes to another one."""

        def start(self) -> None:
            """Nothing to start."""

        def _ask(self, content: bytes, at_least: int | None) -> Any:
            return adder_decoder.answer(content, PIXELS, at_least)

    torch.set_num_threads(1)
    limits = UploadLimits(picture_pixels=PIXELS)
    adder_worker.Decoding = DecodingHere  # type: ignore[misc]
    worker = adder_worker.AdderWorker(model, AdderOptions(encoder=encoders, device="cpu"), limits)
    assert worker.cannot_add is None, worker.cannot_add
    started = time.perf_counter()
    for number in range(3):
        worker.add(NewItem(f"first {number}", "a steel lamp", pictures={"image": picture(number)}))
    print((time.perf_counter() - started) / 3, flush=True)
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        print(_run(worker, **json.loads(line)), flush=True)


def _run(worker: Any, requests: list[dict[str, Any]], after: float) -> int:
    from iisan.models.additions import Additions

    answered, answering = os.pipe()
    child = os.fork()
    if child == 0:
        _be_worker(worker, requests, answering)
    os.close(answering)
    descriptor = os.pidfd_open(child)
    ended = select.select([descriptor], [], [], after)[0]
    os.close(descriptor)
    if not ended:
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    # What is there is read here, so that the next child spends its time on its requests.
    worker.journal = Additions(worker.model)
    worker._catch_up()
    assert code in (0, -signal.SIGKILL), code
    with os.fdopen(answered, "rb") as stream:
        return len(stream.read())


def _be_worker(worker: Any, requests: list[dict[str, Any]], answering: int) -> None:
    """Answers requests, a byte each, and ends the process: never returns."""
    from iisan.models.additions import Additions
    from iisan.serving.adder_frames import Frame
    from iisan.serving.adder_worker import answer

    try:
        worker.journal = Additions(worker.model)  # A lock is that of the process which made it.
        worker.sweep()
        for request in requests:
            colors = request.pop("colors", [])
            answered = answer(worker, Frame(request, [picture(color) for color in colors]))
            assert "error" not in answered.head, answered.head
            os.write(answering, b"!")
        os._exit(0)
    except BaseException:
        with contextlib.suppress(BaseException):
            traceback.print_exc()
        os._exit(99)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), tuple(sys.argv[2:]))
