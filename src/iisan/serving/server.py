"""One process that serves: the model opened, and uvicorn on a socket that is there already."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

import torch
import uvicorn

from iisan.serving.adder import Adder
from iisan.serving.app import build_app
from iisan.serving.bearer_token import Token
from iisan.serving.http_protocol import BoundedProtocol
from iisan.serving.index import IndexOptions
from iisan.serving.live_model import LiveModel
from iisan.serving.metrics import Metrics
from iisan.serving.micro_batches import MicroBatches, MicroBatchOptions
from iisan.serving.page_files import read_page
from iisan.serving.service import Service
from iisan.serving.settings import ServeSettings
from iisan.serving.side_work import SideWork
from iisan.serving.thumbnails import Thumbnails
from iisan.training.device import resolve_device

logger = logging.getLogger(__name__)

# Of search, explanations and the map; pictures have a thread of their own.
SIDE_THREADS = 2
WAITING = 128


def open_service(settings: ServeSettings, token: Token | None) -> Service:
    """Opens the model and whatever else a process serves from.

    Raises:
        UserError: The model or its dataset cannot be read, or the device is not there.
    """
    torch.set_num_threads(settings.threads or max(1, (os.cpu_count() or 1) // settings.workers))
    live = LiveModel.open(
        settings.model,
        device=resolve_device(settings.device),
        index=IndexOptions(kind=settings.index),
        dataset=settings.dataset,
        states=settings.states,
    )
    return Service(
        settings=settings,
        live=live,
        ranking=MicroBatches(MicroBatchOptions(patience_s=settings.answer_seconds / 2)),
        adder=None if settings.read_only else Adder(settings.model, options=settings.adder, limits=settings.uploads),
        token=token,
        page=read_page(),
        metrics=Metrics(),
        work=SideWork(SIDE_THREADS, WAITING, settings.answer_seconds),
        decoding=SideWork(1, 4 * WAITING, settings.answer_seconds),
        thumbnails=Thumbnails(settings.picture_side, settings.picture_cache),
        uploads=asyncio.Semaphore(settings.max_uploads),
    )


def serve_on(service: Service, listener: socket.socket, started: Callable[[], None]) -> None:
    """Answers requests until a signal says stop; requests in hand are answered first.

    Args:
        service: What is served.
        listener: A bound socket.
        started: Called when connections are accepted.

    Raises:
        KeyboardInterrupt: SIGINT or SIGTERM came; everything is closed by then.
    """
    # Each explanation opens a source of states and would say so.
    logging.getLogger("iisan.states").setLevel(logging.WARNING)
    server = build_server(service, started)
    # What is loaded stays; a collector that looks at it again and again makes some requests wait.
    gc.collect()
    gc.freeze()
    server.run(sockets=[listener])


def build_server(service: Service, started: Callable[[], None]) -> uvicorn.Server:
    """Uvicorn with the application of a service.

    Args:
        service: What is served.
        started: Called when connections are accepted.
    """
    settings = service.settings

    class Protocol(BoundedProtocol):
        most_connections = settings.max_connections

    config = uvicorn.Config(
        build_app(service),
        http=Protocol,
        loop=_loop(),
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        # Who calls is not asked for, and the scheme neither: headers of proxies are not believed.
        proxy_headers=False,
        timeout_graceful_shutdown=max(1, round(settings.stop_seconds)),
        backlog=1024,
    )
    return _Server(config, started)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._when_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._when_started()


def _loop() -> Any:
    try:
        import uvloop  # noqa: F401
    except ImportError:  # It is not made for Windows.
        return "asyncio"
    return "uvloop"
