"""Processes that decode pictures, so that a GPU does not wait for one core to do it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from iisan.encoders.model_files import ModelFiles
from iisan.errors import UserError

logger = logging.getLogger(__name__)

_PROGRAM = "iisan.encoders.decoder_program"
# Each has the libraries in memory; more would decode faster than one GPU encodes.
MOST_PROCESSES = 16
# A process decodes on one core; it has no business on a device.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
# Until one that closed its output is gone, too.
_END_SECONDS = 5.0

File = Path | str
_Process = subprocess.Popen[bytes]


class DecoderProcesses:
    """Decodes and preprocesses pictures, as many batches at once as there are processes.

    They are programs of their own, not forks: CUDA and threads do not survive a fork, and no script of a user is run
    again. Each is started with the first :meth:`start`, runs until :meth:`close`, and ends with this process, however
    that ends. What they answer is bit by bit what :class:`~iisan.encoders.picture_pixels.PicturePixels` gives here.

    Args:
        count: How many, at least one.
        files: Of the model.
        image_size: As of :class:`~iisan.encoders.config.EncoderConfig`.
        pinned: Whether the pixels are to lie in page-locked memory, from where a GPU copies them by itself.
    """

    def __init__(self, count: int, files: ModelFiles, image_size: int | None, *, pinned: bool = False) -> None:
        self.count = count
        self._job = json.dumps(
            {"folder": str(files.folder), "name": files.name, "revision": files.revision, "image_size": image_size}
        )
        self._name = files.name
        self._pinned = pinned
        self._changed = threading.Condition()
        self._running: list[_Process] = []
        self._idle: list[_Process] = []

    @property
    def pids(self) -> list[int]:
        """Of the processes that run."""
        return [process.pid for process in self._running]

    def start(self) -> None:
        """Starts them unless they run.

        Raises:
            UserError: The system refuses.
        """
        with self._changed:
            if self._running:
                return
            running: list[_Process] = []
            self._end = weakref.finalize(self, _end, running)
            try:
                running.extend(self._started() for _ in range(self.count))
            except OSError as error:
                self._end()
                raise UserError(
                    f"the processes that decode pictures cannot be started ({error.strerror})",
                    where=self._name,
                    how="use fewer decoders, or 0 to decode in this process",
                ) from error
            self._running, self._idle = running, list(running)
        logger.info("%d processes decode the pictures", self.count)

    def pixels(self, files: Sequence[File]) -> Tensor:
        """Pixels ``[n, 3, H, W]`` of ``n`` files, by a process that is idle, once there is one; for any thread.

        Raises:
            UserError: A file is no readable picture; or the process was killed, which ends all of them.
            RuntimeError: The processes do not run.
        """
        process = self._take()
        try:
            return _ask(process, files, pinned=self._pinned)
        except _ProcessEndedError as ended:
            self.close()
            raise UserError(
                f"a process that decodes pictures ended ({ended})",
                where=f"{files[0]} and {len(files) - 1} more",
                how="if memory is short use fewer decoders, or 0 to decode in this process",
            ) from ended
        finally:
            self._give_back(process)

    def close(self) -> None:
        """Ends them at once, whatever they do; :meth:`start` starts new ones."""
        with self._changed:
            if self._running:
                self._end()
            self._running, self._idle = [], []
            self._changed.notify_all()

    def _started(self) -> _Process:
        return subprocess.Popen(  # noqa: S603 - a program of ours, and a model's folder
            [sys.executable, "-P", "-m", _PROGRAM, self._job],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **_ENVIRONMENT},
            start_new_session=True,  # Ctrl-C is for the one that encodes; it ends the others.
        )

    def _take(self) -> _Process:
        with self._changed:
            self._changed.wait_for(lambda: self._idle or not self._running)
            if not self._running:
                raise RuntimeError("the processes that decode pictures are closed")
            return self._idle.pop()

    def _give_back(self, process: _Process) -> None:
        with self._changed:
            if process in self._running:
                self._idle.append(process)
                self._changed.notify()


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def decoder_count(asked: int | None, device: torch.device) -> int:
    """How many processes decode: what was asked for, else one a core for a GPU, and none where cores encode."""
    if asked is not None:
        return asked
    return 0 if device.type == "cpu" else min(MOST_PROCESSES, usable_cores())


class _ProcessEndedError(Exception):
    """A process no longer answers."""


def _ask(process: _Process, files: Sequence[File], *, pinned: bool) -> Tensor:
    paths = [str(Path(file).absolute()) for file in files]  # The process may stand in another folder.
    try:
        head, pixels = _exchange(process, paths, pinned=pinned)
    except (OSError, ValueError) as error:
        raise _ProcessEndedError(_how_it_ended(process)) from error
    if "bug" in head:
        raise RuntimeError(f"decoding pictures failed in a process of its own:\n{head['bug']}")
    if pixels is None:
        names = dict(zip(paths, map(str, files), strict=True))
        raise UserError(head["what"], where=names.get(head["where"], head["where"]), how=head["how"])
    return pixels


def _exchange(process: _Process, names: Sequence[str], *, pinned: bool) -> tuple[dict[str, Any], Tensor | None]:
    """Sends a request and reads the answer; ValueError where that is none."""
    if process.stdin is None or process.stdout is None:
        raise ValueError("no pipes")
    process.stdin.write(json.dumps(names).encode("ascii") + b"\n")
    process.stdin.flush()
    head: dict[str, Any] = json.loads(process.stdout.readline())
    if "shape" not in head:
        return head, None
    if head["shape"][0] != len(names):
        raise ValueError("an answer to something else")
    pixels = torch.empty(head["shape"], pin_memory=pinned)  # [n, 3, H, W]
    into = pixels.numpy().data.cast("B")
    if process.stdout.readinto(into) != len(into):  # type: ignore[attr-defined]
        raise ValueError("an answer without its end")
    return head, pixels


def _how_it_ended(process: _Process) -> str:
    try:
        code = process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return "it gave no answer"
    return f"exit code {code}" if code >= 0 else f"killed by signal {-code}"


def _end(processes: list[_Process]) -> None:
    for process in processes:
        process.kill()
    for process in processes:
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
