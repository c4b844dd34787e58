"""Start a server, and stop it without losing an answer."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from llama_gene.errors import SettingsError
from llama_gene.serve.app import Server
from llama_gene.serve.backend import Backend
from llama_gene.serve.settings import Limits

_HEADER_SECONDS = 15.0
_KEEP_ALIVE_SECONDS = 15
_MOST_CONNECTIONS = 1024


def run(
    backend: Backend, limits: Limits, *, host: str, port: int, key: str | None, on_ready: Callable[[str], None]
) -> None:
    """Serve until SIGTERM or Ctrl-C; then what was taken is answered, and nothing more is taken.

    Args:
        backend: What answers.
        limits: How much of it.
        host: The address to listen at.
        port: The port; 0 takes a free one.
        key: The API key, if one is asked for.
        on_ready: Told the address as soon as requests are taken.

    Raises:
        SettingsError: The address cannot be used.
    """
    listening = _listen(host, port)
    server = Server(backend, limits, key)
    config = uvicorn.Config(
        server.app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=round(limits.drain_seconds),
        limit_concurrency=_MOST_CONNECTIONS,
    )
    # uvicorn raises the signal that stopped it once more when it is done; that one ends nothing.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ignored)
    shown = listening.getsockname()
    on_ready(f"http://{f'[{shown[0]}]' if ':' in shown[0] else shown[0]}:{shown[1]}")
    try:
        _Stoppable(config, server).run(sockets=[listening])
    finally:
        server.worker.stop(limits.drain_seconds)


def _ignored(_: int, __: FrameType | None) -> None:
    """Nothing."""


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(_MOST_CONNECTIONS)
    except (OSError, OverflowError) as error:
        listening.close()
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        hint = "choose another --port, or 0 for any free one; --host is an address of this machine"
        raise SettingsError(f"cannot listen at {host}:{port} ({reason})", hint=hint) from None
    return listening


class _Stoppable(uvicorn.Server):
    """Says that it is stopping as soon as it is told to, while it still answers what it took."""

    def __init__(self, config: uvicorn.Config, server: Server) -> None:
        super().__init__(config)
        self._server = server

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._server.stopping = True
        super().handle_exit(sig, frame)


class _Protocol(H11Protocol):
    """HTTP that does not wait for ever for the rest of a request's headers."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait_for_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._wait_for_headers()
        elif self.conn.their_state is not h11.IDLE:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_headers(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(_HEADER_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()
