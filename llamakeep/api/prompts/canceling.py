"""
Canceling a run when its client disconnects.

Clients of vendors' APIs stop an answer by closing the connection. A client that sent an
`Idempotency-Key` may reconnect with it, so then the run continues.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping

from starlette.types import Receive, Scope, Send

from llamakeep.api.http.streaming import Streaming
from llamakeep.domain import Run, User
from llamakeep.engine import Engine
from llamakeep.errors import LlamaKeepError

WATCHED_AFTER = 0.05
"""Seconds after which a task watches for the client's disconnect."""

log = logging.getLogger(__name__)


class CancelOnDisconnect:
    """Cancels runs when their client disconnects, unless it `may_come_back`."""

    def __init__(
        self, engine: Engine, user: User, *runs: Run, may_come_back: bool
    ) -> None:
        self._engine = engine
        self._user = user
        self._run_ids = [run.id for run in runs]
        self.is_watching = not may_come_back

    async def left(self) -> None:
        """Cancel the runs; their text so far is kept."""
        # A server that stops closes connections itself, and resumes runs later.
        if not self.is_watching or self._engine.is_stopping:
            return
        for run_id in self._run_ids:
            try:
                await self._engine.cancel(self._user, run_id)
            except LlamaKeepError as error:
                log.warning(
                    "could not cancel run %s; it keeps running: %s",
                    run_id,
                    error.detail,
                )
        # Only now: if this task is canceled above, the next call has to cancel the run.
        self.is_watching = False

    def watched(self, receive: Receive) -> "_WatchedReceive":
        """Return a context in which the client's disconnect cancels the run."""
        return _WatchedReceive(self, receive)


class _WatchedReceive:
    """
    A context that watches for the client's disconnect.

    It starts a task only after a while, since many responses are ready before.
    """

    def __init__(self, leaving: CancelOnDisconnect, receive: Receive) -> None:
        self._leaving = leaving
        self._receive = receive
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        if self._leaving.is_watching:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(WATCHED_AFTER, self._begin)

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        await self._leaving.left()


class Stream(Streaming):
    """A stream of events that cancels the run when the client disconnects."""

    def __init__(
        self,
        events: AsyncIterator[bytes],
        leaving: CancelOnDisconnect,
        *,
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(events, headers=headers)
        self._leaving = leaving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._leaving.left()
