"""Adding items to a model that is being served: the service's side of the process that does the work."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import Any, Self

from iisan.serving.adder_errors import AdderBusy, AdderFailed, CannotAdd, of_data
from iisan.serving.adder_frames import Frame, FrameError, read_frame_async, write_frame_async
from iisan.serving.adder_options import AdderOptions
from iisan.serving.new_item import Added, NewItem, checked
from iisan.serving.upload_limits import UploadLimits

logger = logging.getLogger(__name__)

_PROGRAM = "iisan.serving.adder_worker"
# The service's secret, with which the process has no business.
_NOT_PASSED_ON = ("IISAN_TOKEN",)
# Seconds between two tries to start a process that does not get ready.
_LONGEST_PAUSE = 60.0
# Seconds that a process has to end by itself.
_KINDLY = 5.0


class Adder:
    """Adds items to a model folder and takes them back, one after the other, in a process of its own.

    That process loads the encoders once and keeps them; recommendations are given meanwhile. Uploaded pictures are
    decoded in a further process, which can write no file and has little memory and time. Whichever of them dies, the
    request under way gets an error, the process is started again, and nothing is half written.

    Start it and use it in one event loop; it is an async context manager.

    Args:
        model: The model folder.
        options: Where encoders are, and how they compute.
        limits: What uploads may hold.
    """

    def __init__(self, model: Path, *, options: AdderOptions | None = None, limits: UploadLimits | None = None) -> None:
        self.model = model
        self.options = options or AdderOptions()
        self.limits = limits or UploadLimits()
        self._process: asyncio.subprocess.Process | None = None
        self._cannot_add: str | None = None
        self._ready = asyncio.Event()
        self._known = asyncio.Event()
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._closing = False
        self._keeper: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[Frame]] = set()

    async def __aenter__(self) -> Self:
        """Starts the process."""
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, value: BaseException | None, at: Any) -> None:
        """Ends it."""
        await self.close()

    async def start(self) -> None:
        """Starts the process and returns at once; :attr:`ready` says when the encoders are there."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep_running())

    @property
    def ready(self) -> bool:
        """Whether the process has loaded what it needs."""
        return self._ready.is_set()

    @property
    def pid(self) -> int | None:
        """Of the process, None while none has loaded what it needs."""
        return None if self._process is None else self._process.pid

    @property
    def cannot_add(self) -> str | None:
        """Why no items can be added to this model; None where they can, and as long as that is not known.

        Items can be taken back all the same.
        """
        return self._cannot_add

    async def wait_ready(self) -> None:
        """Returns when the encoders are there, or it is clear that they cannot be."""
        await self._known.wait()

    async def add(self, item: NewItem) -> Added:
        """Adds one item; it is on the disk when this returns.

        A caller that is cancelled takes nothing back: the item is added all the same.

        Raises:
            UploadRefused: The item is at fault.
            ItemExists: Its id is known with other content.
            CannotAdd: The model takes no items, or its folder cannot be written.
            AdderBusy: Too many are waiting, another process is adding, or the encoders are not loaded in time.
            AdderFailed: The process ended or took too long; sending the item again is safe.
        """
        if self._cannot_add is not None:
            raise CannotAdd(self._cannot_add)
        # Hashing megabytes takes milliseconds in which no recommendation would be given.
        item = await asyncio.to_thread(checked, item, self.limits)
        told = {name: getattr(item, name) for name in ("item_id", "title", "on_existing")}
        told |= {"texts": dict(item.texts), "attributes": dict(item.attributes)}
        head = {"do": "add", "item": told, "pictures": list(item.pictures)}
        answer = await self._queue(Frame(head, list(item.pictures.values())))
        return Added(**answer.head)

    async def remove(self, item_id: str) -> int:
        """Takes one item back, on the disk when this returns; one that was taken back already stays so.

        Returns:
            Number of the journal's last addition.

        Raises:
            UnknownItems: The model does not know it.
            CannotAdd, AdderBusy, AdderFailed: As of :meth:`add`.
        """
        answer = await self._queue(Frame({"do": "remove", "item_id": item_id}))
        return int(answer.head["addition"])

    async def close(self) -> None:
        """Ends the process, after what it is doing; what waits is refused."""
        self._closing = True
        self._ready.set()  # Whoever waits for it is to see that there is no point.
        async with self._turn:
            if self._keeper is not None:
                self._keeper.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._keeper
            self._keeper = None
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _queue(self, request: Frame) -> Frame:
        if self._waiting >= self.limits.waiting:
            raise AdderBusy(f"{self._waiting} items are waiting to be added", how="ask again in a moment")
        self._waiting += 1
        # A task of its own: a caller that goes away must not leave half an answer in the pipe.
        task = asyncio.create_task(self._in_turn(request))
        self._under_way.add(task)
        task.add_done_callback(self._one_less)
        answer = await asyncio.shield(task)
        if "error" in answer.head:
            raise of_data(answer.head["error"])
        return answer

    def _one_less(self, task: asyncio.Task[Frame]) -> None:
        self._waiting -= 1
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # Looked at, for the caller may have gone away.

    async def _in_turn(self, request: Frame) -> Frame:
        async with self._turn:
            try:
                await asyncio.wait_for(self._ready.wait(), self.limits.add_seconds)
            except TimeoutError:
                raise AdderBusy("the encoders of new items are still being loaded", how="ask again later") from None
            if self._closing:
                raise AdderBusy("the service is stopping", how="ask again in a moment")
            return await self._exchange(request)

    async def _exchange(self, request: Frame) -> Frame:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise _failed("ended")
        try:
            async with asyncio.timeout(self.limits.add_seconds):
                await write_frame_async(process.stdin, request)
                return await read_frame_async(process.stdout)
        except TimeoutError:
            self._give_up(process)
            raise _failed(f"took more than {self.limits.add_seconds:g} s") from None
        except (OSError, FrameError) as error:
            self._give_up(process)
            raise _failed("ended") from error

    def _give_up(self, process: asyncio.subprocess.Process) -> None:
        self._ready.clear()
        self._process = None
        with contextlib.suppress(ProcessLookupError):
            process.kill()

    async def _keep_running(self) -> None:
        """Starts the process, and again whenever it ended, until this is cancelled."""
        failures = 0
        while True:
            process = await self._spawn()
            try:
                if await self._loads(process):
                    failures = 0
                    logger.warning("the process that adds items ended (%s)", await process.wait())
                else:
                    failures += 1
            finally:
                self._ready.clear()
                self._process = None
                await _ended(process)
            await asyncio.sleep(min(2**failures - 1, _LONGEST_PAUSE))

    async def _loads(self, process: asyncio.subprocess.Process) -> bool:
        """Whether the process gets ready; where it cannot, and says why, that is why no items can be added."""
        options, limits = self.options.model_dump(mode="json"), self.limits.model_dump(mode="json")
        setup = Frame({"model": str(self.model.resolve()), "options": options, "limits": limits})
        if process.stdin is None or process.stdout is None:
            return False
        try:
            async with asyncio.timeout(self.limits.start_seconds):
                await write_frame_async(process.stdin, setup)
                hello = (await read_frame_async(process.stdout)).head
        except (TimeoutError, OSError, FrameError) as error:
            logger.warning("the process that adds items does not start (%s)", error or "it takes too long")
            return False
        if "error" in hello:
            why = of_data(hello["error"])
            self._cannot_add = f"{why.what}; {why.how}" if why.how else why.what
            logger.warning("no items can be added: %s", why)
            self._known.set()
            return False
        self._cannot_add = hello["cannot_add"]
        self._process = process
        self._known.set()
        self._ready.set()
        return True

    async def _spawn(self) -> asyncio.subprocess.Process:
        environment = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON}
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            _PROGRAM,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C at a terminal is the service's; this one ends when its input does.
        )


def _failed(how_it_went: str) -> AdderFailed:
    return AdderFailed(
        f"the process that adds items {how_it_went}, so it is not known whether the item is there",
        how="send the request again: what is there already is not added twice",
    )


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Lets a process end by itself, and ends it where it does not."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), _KINDLY)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
