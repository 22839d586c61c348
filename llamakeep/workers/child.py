"""A worker process, in its parent."""

import asyncio
import json
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import NamedTuple

from llamakeep.errors import LlamaKeepError
from llamakeep.metrics.families import Snapshot
from llamakeep.workers import start
from llamakeep.workers.channel import (
    LONGEST_LINE,
    Answer,
    Channel,
    Facts,
    to_error,
)
from llamakeep.workers.config import WorkerConfig

PATIENCE = 2.0
"""Seconds that a worker has to return its metrics."""


class Greeting(NamedTuple):
    """What a worker reports when it is ready."""

    model: str
    """The default model, or why there is none."""
    data: str
    """The location of the database."""
    node: str
    """The id with which the worker leases runs."""
    offers_setup: bool
    """Whether the set-up token creates an administrator."""


WhenReady = Callable[[Greeting], None]


class Child:
    """A worker process."""

    def __init__(self, process: Process, when_ready: WhenReady) -> None:
        self.greeting: Greeting | None = None
        """Its report when it was ready."""
        self.failure: LlamaKeepError | None = None
        """Why it could not start, if it reported that."""
        self.counted: Snapshot = {}
        """Its metrics when they were last read."""
        self._process = process
        self._when_ready = when_ready
        self._channel: Channel | None = None

    @classmethod
    async def start(
        cls,
        config: WorkerConfig,
        listeners: Sequence[socket.socket],
        answers: Mapping[str, Answer],
        when_ready: WhenReady,
    ) -> "Child":
        """
        Start a process that serves the first of `listeners`, and metrics on the second.

        They are closed here once the process has them.

        Raises:
            OSError: The operating system cannot start another process.
        """
        with ExitStack() as stack:
            for each in listeners:
                stack.enter_context(each)
            ours, theirs = map(stack.enter_context, socket.socketpair())
            passed = [each.fileno() for each in (theirs, *listeners)]
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # or modules next to the script would shadow Python's own
                start.__file__,
                *map(str, passed),
                stdin=PIPE,
                pass_fds=passed,
                start_new_session=True,  # the parent handles Ctrl-C for all workers
            )
            reader, writer = await asyncio.open_connection(
                sock=ours.dup(), limit=LONGEST_LINE
            )
        child = cls(process, when_ready)
        child._channel = Channel(
            reader,
            writer,
            answers=answers,
            listens={"ready": child._be_ready, "failed": child._fail},
        )
        assert process.stdin is not None
        with suppress(ConnectionError):  # it died already
            process.stdin.write(json.dumps(config.to_json()).encode() + b"\n")
            await process.stdin.drain()
        return child

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def stop(self, *, at_once: bool) -> None:
        """Stop the worker; its runs have their grace period unless `at_once`."""
        assert self._channel is not None
        self._channel.tell("stop", at_once=at_once)

    def reload(self, upstreams: Sequence[str] | None) -> None:
        """Have the worker follow what `llamakeep.toml` says now."""
        assert self._channel is not None
        self._channel.tell("reload", upstreams=upstreams)

    async def count(self) -> Snapshot:
        """Return its metrics; those of the last time if it does not answer soon."""
        assert self._channel is not None
        with suppress(LlamaKeepError, TimeoutError):
            async with asyncio.timeout(PATIENCE):
                self.counted = await self._channel.ask("count")
        return self.counted

    def kill(self) -> None:
        """Kill the process with SIGKILL."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def ended(self) -> int:
        """Wait until the process has ended, and return its exit status."""
        assert self._channel is not None
        assert self._process.stdin is not None
        status = await self._process.wait()
        # Its last messages may still be in the socket.
        await self._channel.ended()
        await self._channel.close()
        self._process.stdin.close()
        return status

    def _be_ready(self, facts: Facts) -> None:
        self.greeting = Greeting(**facts)
        self._when_ready(self.greeting)

    def _fail(self, facts: Facts) -> None:
        self.failure = to_error(facts["error"])


def describe_exit(status: int) -> str:
    """Describe an exit status for the log."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
