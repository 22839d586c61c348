"""Streaming responses that end when the client disconnects."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

EVENT_STREAM = "text/event-stream"


class Streaming(StreamingResponse):
    """
    A streaming response, of server-sent events unless `media_type` is given.

    Starlette's takes a task group for each, which is 5 KB for as long as it is open.
    Whatever ends the response, `end` is called.
    """

    media_type = EVENT_STREAM

    def __init__(
        self,
        pieces: AsyncIterator[bytes],
        *,
        end: Callable[[], None] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(pieces, **options)
        self._end = end

    async def __call__(
        self,
        scope: Scope,  # noqa: ARG002 - ASGI's signature
        receive: Receive,
        send: Send,
    ) -> None:
        """Send the pieces until the client disconnects."""
        sending = asyncio.current_task()
        assert sending is not None
        is_disconnected = False

        async def watch() -> None:
            nonlocal is_disconnected
            await self.listen_for_disconnect(receive)
            is_disconnected = True
            sending.cancel()

        watching = asyncio.create_task(watch())
        try:
            await self.stream_response(send)
        except asyncio.CancelledError:
            # The server may have canceled the task as well.
            if not is_disconnected or sending.uncancel():
                raise
        finally:
            watching.cancel()
            if self._end is not None:
                self._end()


async def sent(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Make an iterator asynchronous; it does not run ahead of the client."""
    for piece in pieces:
        yield piece
