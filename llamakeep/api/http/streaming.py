"""Server-sent events, for as long as somebody is there to read them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

EVENT_STREAM = "text/event-stream"


class Streaming(StreamingResponse):
    """
    An answer in pieces, which ends when its client leaves.

    Starlette has a group of tasks for each, which takes 5 KB for as long as it is open.

    Args:
        pieces: What is sent.
        end: What is done when nothing of it is held any more.
        options: As Starlette says.
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
        """Send them."""
        sending = asyncio.current_task()
        assert sending is not None
        has_left = False

        async def look_out() -> None:
            nonlocal has_left
            await self.listen_for_disconnect(receive)
            has_left = True
            sending.cancel()

        looking = asyncio.create_task(look_out())
        try:
            await self.stream_response(send)
        except asyncio.CancelledError:
            # Somebody else may have canceled the task as well.
            if not has_left or sending.uncancel():
                raise
        finally:
            looking.cancel()
            if self._end is not None:
                self._end()


async def sent(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield what is made piece by piece, each when the one before has been taken."""
    for piece in pieces:
        yield piece
