"""Several processes that serve on one socket, and the one that watches over them."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from iisan.errors import UserError
from iisan.serving.bearer_token import Token
from iisan.serving.settings import ServeSettings

logger = logging.getLogger(__name__)

# Of prometheus-client: where the processes count together. It reads the variable when it is imported.
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
# Seconds before a process that ended is started again, and how far that grows while it keeps ending.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
# Beyond the time that requests in hand are given.
KILL_AFTER_SECONDS = 10.0


def serve_with_workers(
    settings: ServeSettings, token: Token | None, listener: socket.socket, started: Callable[[], None]
) -> None:
    """Serves with several processes until a signal says stop; one that ends is started again.

    Args:
        settings: What is served.
        token: What writing asks for.
        listener: A bound socket, which is closed at the end.
        started: Called when all of them accept connections.

    Raises:
        UserError: The first processes could not start.
        KeyboardInterrupt: SIGINT or SIGTERM came; all processes have ended by then.
    """
    with tempfile.TemporaryDirectory(prefix="iisan-metrics-") as folder:
        os.environ[METRICS_FOLDER] = folder
        crew = _Crew(settings, token, listener)
        try:
            crew.start()
            started()
            crew.watch()
        finally:
            listener.close()
            crew.stop()
            del os.environ[METRICS_FOLDER]


@dataclass
class _Worker:
    process: BaseProcess
    news: Connection
    started: bool = False


@dataclass
class _Crew:
    settings: ServeSettings
    token: Token | None
    listener: socket.socket
    workers: list[_Worker] = field(default_factory=list)
    pause: float = FIRST_PAUSE

    def start(self) -> None:
        """Starts all, and returns when they accept connections.

        Raises:
            UserError: One could not.
        """
        for _ in range(self.settings.workers):
            self._hire()
        while not all(worker.started for worker in self.workers):
            for worker in self._with_news():
                self._listen(worker)
                if not worker.started and not worker.process.is_alive():
                    raise UserError(
                        f"a process ended while it was starting (exit code {worker.process.exitcode})",
                        how="see what it said before",
                    )

    def watch(self) -> None:
        """Starts those again that end; returns never."""
        while True:
            for worker in self._with_news():
                try:
                    self._listen(worker)
                except UserError as error:
                    logger.error("a process could not start: %s", error)  # noqa: TRY400
                if not worker.process.is_alive():
                    self._replace(worker)
                elif worker.started:
                    self.pause = FIRST_PAUSE

    def stop(self) -> None:
        """Ends all, after the requests in hand."""
        alive = [worker.process for worker in self.workers if worker.process.is_alive()]
        for process in alive:
            process.terminate()
        until = time.monotonic() + self.settings.stop_seconds + KILL_AFTER_SECONDS
        for process in alive:
            process.join(max(0.0, until - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()

    def _hire(self) -> None:
        ours, theirs = multiprocessing.Pipe(duplex=False)
        # Spawned, not forked: torch's threads and locks do not survive a fork.
        process = multiprocessing.get_context("spawn").Process(
            target=_work, args=(self.settings, self.token, self.listener, theirs), daemon=True
        )
        process.start()
        theirs.close()
        self.workers.append(_Worker(process, ours))

    def _replace(self, worker: _Worker) -> None:
        from prometheus_client.multiprocess import mark_process_dead

        process = worker.process
        logger.warning(
            "process %s ended (exit code %s) and is started again in %.0f s", process.pid, process.exitcode, self.pause
        )
        mark_process_dead(process.pid)  # type: ignore[no-untyped-call]
        worker.news.close()
        self.workers.remove(worker)
        time.sleep(self.pause)
        self.pause = min(2 * self.pause, LONGEST_PAUSE)
        self._hire()

    def _with_news(self) -> list[_Worker]:
        """Waits until a process says something or ends, and gives those."""
        ends = [worker.process.sentinel for worker in self.workers]
        news = [worker.news for worker in self.workers if not worker.started]
        found = set(wait([*ends, *news]))
        return [worker for worker in self.workers if worker.process.sentinel in found or worker.news in found]

    def _listen(self, worker: _Worker) -> None:
        """Hears what a process says: None when it has started, or why it could not."""
        if worker.started or not worker.news.poll():
            return
        try:
            said: UserError | None = _from_plain(worker.news.recv())
        except EOFError:
            # It is ending; so that its end is seen rather than this again.
            worker.process.join()
            return
        if said is not None:
            worker.process.join()
            raise said
        worker.started = True


def _work(settings: ServeSettings, token: Token | None, listener: socket.socket, news: Connection) -> None:
    """The life of one process."""
    # Ctrl-C reaches all processes of a terminal; the one that watches says when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(settings.stop_seconds,), daemon=True).start()
    logging.basicConfig(level=logging.WARNING, format=f"[{os.getpid()}] %(message)s")
    logging.getLogger("iisan").setLevel(logging.INFO)

    from iisan.serving.server import open_service, serve_on

    try:
        service = open_service(settings, token)
    except UserError as error:
        news.send((error.what, error.where, error.how))
        raise SystemExit(2) from None
    serve_on(service, listener, lambda: news.send(None))


def _from_plain(said: tuple[str, str, str] | None) -> UserError | None:
    return None if said is None else UserError(said[0], where=said[1], how=said[2])


def _end_with_parent(seconds: float) -> None:
    """Ends this process when the one that watches is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(seconds + KILL_AFTER_SECONDS)
    os._exit(1)
