"""
What a client's leaving does: its run is canceled, and what it said so far is kept.

A server that stops makes clients leave, too. Their runs are not canceled by that: they
are found again when it starts.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from fastapi import Request
from fastapi.sse import EventSourceResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from llamakeep.domain import Run, User
from llamakeep.errors import LlamaKeepError
from llamakeep.keeper import Keeper

log = logging.getLogger(__name__)


@asynccontextmanager
async def canceled_when_left(
    request: Request, keeper: Keeper, user: User, run: Run
) -> AsyncIterator[None]:
    """Cancel `run` as soon as the client has left, for as long as this is entered."""
    watcher = asyncio.create_task(_watch(request, keeper, user, run))
    try:
        yield
    finally:
        watcher.cancel()


class CanceledWhenLeft(EventSourceResponse):
    """
    A stream of events whose run is canceled when the client leaves before the end.

    Args:
        events: What is sent.
        keeper: Who has the run.
        user: Whose run it is.
        run: What is followed.
        headers: Of the response.
    """

    def __init__(
        self,
        events: AsyncIterator[bytes],
        *,
        keeper: Keeper,
        user: User,
        run: Run,
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(self._all_of(events), headers=headers)
        self._keeper = keeper
        self._user = user
        self._run = run
        self._is_complete = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events, then see whether somebody was there for all of them."""
        with suppress(ClientDisconnect):
            await super().__call__(scope, receive, send)
        if not self._is_complete:
            await _cancel(self._keeper, self._user, self._run)

    async def _all_of(self, events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for event in events:
            yield event
        self._is_complete = True


async def _watch(request: Request, keeper: Keeper, user: User, run: Run) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass  # what is left of the body
    await _cancel(keeper, user, run)


async def _cancel(keeper: Keeper, user: User, run: Run) -> None:
    if keeper.is_stopping:
        return
    try:
        await keeper.cancel(user, run.id)
    except LlamaKeepError as error:
        log.warning("%s: its client left, but it goes on: %s", run.id, error.detail)
