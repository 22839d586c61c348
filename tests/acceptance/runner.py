"""
Server processes on demand: real ones, which can be killed.

    python -m tests.acceptance.runner CONTROL

`CONTROL` is the number of an open Unix socket. Whoever sends an `Order` through it,
with a listening socket, gets a server on that socket: `started PID`, and later `ended
PID STATUS`. This process has imported everything before, and forks, so a server starts
in a fraction of a second. It ends with the other end of `CONTROL`.
"""

import asyncio
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from types import FrameType
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from llamakeep.app import create_app
from llamakeep.domain import Capabilities, Price, Usage
from llamakeep.errors import LlamaKeepError
from llamakeep.providers.base import Accepted, CompletionRequest, Event, Finished
from llamakeep.server import Server, serve
from llamakeep.settings import Settings
from tests.torture.crash_points import arm


class Talker:
    """Says random words at its pace, and never the same twice."""

    name = "talker"
    unsupported: frozenset[str] = frozenset()

    def __init__(self, *, words: int, pause: float, is_free: bool) -> None:
        self.words = words
        self.pause = pause
        self.is_free = is_free

    async def default_model(self) -> str:
        return "parrot"

    async def models(self) -> Sequence[str]:
        return ["parrot"]

    def serves(self, model: str) -> bool:
        return model == "parrot"

    def price(self, model: str) -> Price | None:  # noqa: ARG002 - the protocol's
        return None

    async def capabilities(self, model: str) -> Capabilities:  # noqa: ARG002
        return Capabilities()

    async def answer(self, request: CompletionRequest) -> AsyncGenerator[Event, None]:
        yield Accepted("parrot-1")
        for _ in range(self.words):
            await asyncio.sleep(self.pause)
            yield f"\u00e9{random.getrandbits(32):x} "
        yield Finished("stop", Usage(len(request.messages), self.words))

    async def warm_up(self) -> None:
        pass

    async def close(self) -> None:
        pass


class Order(BaseModel):
    """What server is wanted."""

    settings: dict[str, Any]
    log: str
    """The file that gets its standard error."""
    words: int
    pause: float
    is_free: bool
    is_real: bool
    """Whether to use the providers of the settings, instead of a `Talker`."""
    is_kept: bool = False
    """Whether another process keeps the socket for the server that comes next."""
    here: str | None = None
    """The machine that it takes itself to be on, if it is another one."""
    crash_at: str = ""
    """The point at which it strikes itself, if at any; see `tests.torture`."""
    crash_on: int = 1
    """At which pass."""
    crash_with: int = signal.SIGKILL
    """With which signal."""


def main(control: socket.socket) -> None:
    def report(_signal: int, _frame: FrameType | None) -> None:
        try:
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                status = os.waitstatus_to_exitcode(ended[1])
                control.sendall(f"ended {ended[0]} {status}\n".encode())
        except ChildProcessError:
            pass  # there are no more

    signal.signal(signal.SIGCHLD, report)
    while True:
        data, [*listeners], _, _ = socket.recv_fds(control, 65536, 1)
        if not data:
            return
        # Nobody may hear of the end before the start.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            control.close()
            os.setsid()  # a server without a terminal reads its file anew at SIGHUP
            run(Order.model_validate_json(data), socket.socket(fileno=listeners[0]))
            return
        os.close(listeners[0])
        control.sendall(f"started {pid}\n".encode())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


def run(order: Order, listener: socket.socket) -> None:
    log = os.open(order.log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    os.dup2(log, sys.stderr.fileno())
    random.seed()  # not what every other child has
    if order.crash_at:
        arm(order.crash_at, passes=order.crash_on, how=order.crash_with)
    settings = Settings.model_validate(order.settings)
    talker = Talker(words=order.words, pause=order.pause, is_free=order.is_free)
    providers = None if order.is_real else [talker]
    app = create_app(settings, providers=providers, here=order.here)
    new_server = partial(Server, is_kept=order.is_kept)
    serving = serve(app, listener, when_ready=nobody_waits, new_server=new_server)
    try:
        asyncio.run(serving)
    except LlamaKeepError as error:
        sys.exit(error.detail)


async def nobody_waits(_app: FastAPI) -> None:
    pass


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
