"""A server for the application, on one address, until a signal stops it."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from skhimatch.serving.installed import check_installed

if TYPE_CHECKING:
    from fastapi import FastAPI
    from uvicorn import Server

__all__ = ["listening_socket", "serve"]


def serve(app: FastAPI, host: str, port: int, *, stop_seconds: int, listening: Callable[[str], None]) -> None:
    """Serve an application until SIGTERM or SIGINT.

    Then no new connection is accepted, and the requests that were accepted are answered.

    Parameters
    ----------
    app : FastAPI
        The application.
    host : str
        A name or an address of this machine.
    port : int
        The port; 0 for any free one.
    stop_seconds : int
        How long accepted requests may take after the signal.
    listening : callable of str
        Called with the URL, when connections are accepted.

    Raises
    ------
    ImportError
        When uvicorn is not installed.
    ValueError
        When the address cannot be used.
    KeyboardInterrupt
        When a second SIGINT gives up accepted requests.
    """
    check_installed("uvicorn")
    from uvicorn import Config, Server

    with listening_socket(host, port) as accepting:
        config = Config(
            app, log_level="warning", access_log=False, ws="none", timeout_graceful_shutdown=stop_seconds
        )
        server = Server(config)
        with _stopped_by_signals(server):
            shown = f"[{host}]" if ":" in host else host
            listening(f"http://{shown}:{accepting.getsockname()[1]}")
            server.run(sockets=[accepting])
    if server.force_exit:
        raise KeyboardInterrupt


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address.

    Parameters
    ----------
    host : str
        A name or an address of this machine.
    port : int
        The port; 0 for any free one.

    Returns
    -------
    socket.socket

    Raises
    ------
    ValueError
        When the address cannot be used.
    """
    if not 0 <= port <= 65_535:
        raise ValueError(f"--port {port} is no port: pass a number from 0 to 65535")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        created = socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        raise ValueError(f"cannot listen at --host {host} --port {port}: {error.strerror}") from error
    # asyncio sets TCP_NODELAY only on sockets that name the protocol. Without it each answer takes 40 ms
    # more, because its head and its body are two packets.
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, created.detach())


@contextmanager
def _stopped_by_signals(server: Server) -> Iterator[None]:
    """Let signals stop the server before its own handlers are set, and when it raises them again at its end.

    Without this the process would end by the signal, not with the exit status 0.
    """

    def stop(*_: Any) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
