"""Serve: a model over HTTP, with a web page, until it is told to stop."""

from __future__ import annotations

import importlib
import logging
import os
import socket
from collections.abc import Callable

from iisan.errors import UserError
from iisan.jobs.add_items import model_folder
from iisan.serving.bearer_token import VARIABLE, Token, read_token
from iisan.serving.settings import ServeSettings

logger = logging.getLogger(__name__)

PACKAGES = ("fastapi", "uvicorn", "httptools", "python_multipart", "prometheus_client")


def serve(settings: ServeSettings, started: Callable[[str], None] | None = None) -> None:
    """Serves a model over HTTP until SIGINT or SIGTERM comes.

    Requests in hand are answered before this returns, and what was acknowledged is on the disk at any time.

    Args:
        settings: Which model, where, and within what bounds.
        started: Called with the address when connections are accepted.

    Raises:
        UserError: The model cannot be read, the address is taken, the token is none, a package is missing, or anybody
            in the network could change the catalogue.
        KeyboardInterrupt: A signal came before connections were accepted.
    """
    _require_packages()
    settings = settings.model_copy(update={"model": model_folder(settings.model)})
    token = read_token(settings.token_file)
    _require_closed(settings, token)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        logger.warning("the service runs as root and needs no such rights; start it as an ordinary user")
    listener = _bound(settings.host, settings.port)
    address = _address(listener)
    is_up = False

    def up() -> None:
        nonlocal is_up
        is_up = True
        if started is not None:
            started(address)

    try:
        _serve(settings, token, listener, up)
    except KeyboardInterrupt:
        # A service ends in no other way: once it is up, being told to stop is no failure.
        if not is_up:
            raise
    finally:
        listener.close()


def _serve(settings: ServeSettings, token: Token | None, listener: socket.socket, up: Callable[[], None]) -> None:
    if settings.workers > 1:
        from iisan.serving.workers import serve_with_workers

        serve_with_workers(settings, token, listener, up)
    else:
        from iisan.serving.server import open_service, serve_on

        serve_on(open_service(settings, token), listener, up)


def _require_packages() -> None:
    for name in PACKAGES:
        try:
            importlib.import_module(name)
        except ImportError:
            raise UserError(
                f"serving needs the package {name!r}, which is not installed", how="pip install 'iisan[serve]'"
            ) from None


def _require_closed(settings: ServeSettings, token: Token | None) -> None:
    if not settings.on_loopback and token is None and not settings.read_only:
        raise UserError(
            f"anybody who can reach {settings.host} could add and remove items",
            where="serve",
            how=f"set a token with --token-file or the variable {VARIABLE}, or give --read-only",
        )


def _bound(host: str, port: int) -> socket.socket:
    """A socket bound to an address, not yet listening: a client is refused until somebody answers."""
    where = f"{host}:{port}"
    try:
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise UserError(f"no such address ({error.strerror})", where=where, how="check --host") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise UserError(
            f"cannot listen there ({os.strerror(error.errno or 0).lower()})",
            where=where,
            how="choose another --port, 0 for a free one, or --host",
        ) from error
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
