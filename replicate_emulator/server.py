"""Running the emulator: as a process of its own, or inside a test."""

import socket
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress

import uvicorn
from fastapi import FastAPI

from llamakeep.providers.base import Provider
from replicate_emulator.app import create_emulator
from replicate_emulator.connections import CuttableProtocol
from replicate_emulator.core import Emulator
from replicate_emulator.rules import Rule
from replicate_emulator.settings import EmulatorSettings

DEFAULT_PORT = 8401
KEEP_ALIVE = 75
"""Seconds for which a connection may be idle, as with most servers before an API."""


class _Server(uvicorn.Server):
    """Uvicorn, which first of all sends those away who would wait for ever."""

    def __init__(self, config: uvicorn.Config, emulator: Emulator) -> None:
        super().__init__(config)
        self._emulator = emulator
        self.is_ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._emulator.close()
        await super().shutdown(sockets)


def _server(app: FastAPI, *, host: str = "127.0.0.1", port: int = 0) -> _Server:
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=CuttableProtocol,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,  # it goes by the emulator's clock
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=2,
    )
    return _Server(config, app.state.emulator)


def serve(
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    settings: EmulatorSettings | None = None,
    *,
    rules: Iterable[Rule] = (),
    provider: Provider | None = None,
    origins: Collection[str] = (),
) -> None:
    """
    Serve Replicate's HTTP API until the process gets a signal to stop.

    Args:
        host: The address to listen on; every client that reaches it may use it.
        port: The port to listen on.
        settings: How to behave while no rule says otherwise.
        rules: What waits for requests from the start.
        provider: Answers what no rule has a script for; without it, prompts are echoed.
            It is closed at the end.
        origins: Other sites whose pages may send requests.
    """
    app = create_emulator(settings, rules=rules, provider=provider, origins=origins)
    with suppress(KeyboardInterrupt):  # raised again after an orderly shutdown
        _server(app, host=host, port=port).run()


@contextmanager
def open_emulator(
    settings: EmulatorSettings | None = None,
    *,
    rules: Iterable[Rule] = (),
    provider: Provider | None = None,
) -> Iterator[str]:
    """Serve in a thread, on a free port of this machine; yield the origin."""
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        server = _server(create_emulator(settings, rules=rules, provider=provider))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            assert server.is_ready.wait(timeout=10), "the emulator did not start"
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
