"""Serve over HTTP: connections that stand still are closed, and the end waits for answers."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from api.app import Api
from core.settings import Settings

FIRST_BYTE_TIMEOUT = 20.0  # seconds a new connection may say nothing
KEEP_ALIVE_TIMEOUT = 75  # seconds between two requests; as long as proxies keep theirs
SEND_TIMEOUT = 30.0  # seconds a reader may take nothing of what waits for it
CLOSE_TIMEOUT = 2  # seconds for connections after the last answer


class Connection(H11Protocol):
    """A connection that may not hold on to the server while it does nothing."""

    first_byte_timeout, send_timeout = FIRST_BYTE_TIMEOUT, SEND_TIMEOUT
    _send_timer: asyncio.TimerHandle | None = None

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.access_log = False  # paths are visitors' words; the request log has its own line

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first byte."""
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(
            self.first_byte_timeout, self.timeout_keep_alive_handler
        )

    def pause_writing(self) -> None:
        """The reader is behind: begin to wait for it."""
        super().pause_writing()
        self._send_timer = self.loop.call_later(self.send_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        """The reader has caught up."""
        super().resume_writing()
        self._stop_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there to wait for."""
        self._stop_timer()
        super().connection_lost(exc)

    def _stop_timer(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None


class Server(uvicorn.Server):
    """Serves the API and a page until it is told to stop.

    Then it takes no new answers on, and waits for those that run, the page's too.
    """

    def __init__(
        self,
        api: Api,
        page: ASGIApp,
        settings: Settings,
        ready: Callable[[str], None] = lambda address: None,
    ) -> None:
        """`ready` is told the address when the port is open."""
        self.page = page
        self._queue = api.queue
        self._ready = ready
        self._drain = settings.drain_seconds
        super().__init__(
            uvicorn.Config(
                api.before(page),
                settings.host,
                settings.port,
                http=Connection,
                ws="none",
                log_config=None,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_TIMEOUT,
                timeout_graceful_shutdown=CLOSE_TIMEOUT,
            )
        )

    @property
    def address(self) -> str:
        """Where it is, once it has started."""
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the port, and say so."""
        await super().startup(sockets)
        self._ready(self.address)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let the running answers end, then close."""
        self._queue.draining = True
        until = time.monotonic() + self._drain
        while self._queue.admitted and time.monotonic() < until and not self.force_exit:
            await asyncio.sleep(0.1)
        await super().shutdown(sockets)


def raise_file_limit() -> None:
    """Allow as many connections at one time as the system lets this process have."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted: Any = hard if hard != resource.RLIM_INFINITY else max(soft, 65536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
