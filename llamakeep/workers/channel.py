"""A bidirectional channel between parent and worker: lines of JSON on a socket."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Self

from llamakeep.errors import LlamaKeepError, RunFailed, ServerStopping, from_code

Facts = dict[str, Any]
LONGEST_LINE = 16 * 1024 * 1024
"""Bytes that a message may have; metrics have some hundred thousand."""

_BUG = "The server failed to find out what it needs to know; its log says why."

Answer = Callable[[Facts], Awaitable[Any]]
"""Handles a request: takes its arguments, and returns JSON or raises."""
Listen = Callable[[Facts], None]

log = logging.getLogger(__name__)


class Channel:
    """One end of a channel: answers requests, listens to notifications, by name."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        answers: Mapping[str, Answer],
        listens: Mapping[str, Listen],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._answers = answers
        self._listens = listens
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._number = 0
        self._is_over = False
        self._listening = asyncio.create_task(self._listen())

    def tell(self, what: str, **facts: Any) -> None:
        """Send a notification; does nothing if the other end has closed."""
        self._send(tell=what, facts=facts)

    async def ask(self, what: str, **facts: Any) -> Any:
        """
        Send a request, and return the other end's result.

        Raises:
            ServerStopping: The other end has closed.
            LlamaKeepError: The handler raised it; `RunFailed` stands for other errors.
        """
        if self._is_over:
            raise ServerStopping
        self._number += 1
        number = self._number
        answer = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            self._send(ask=what, number=number, facts=facts)
            return await answer
        finally:
            del self._asked[number]

    async def ended(self) -> None:
        """Wait until the other end has closed."""
        await asyncio.wait([self._listening])

    async def close(self) -> None:
        """Close the channel when all messages are sent."""
        with suppress(ConnectionError):
            await self._writer.drain()
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()
        self._listening.cancel()
        await self.ended()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _send(self, **message: Any) -> None:
        if not self._is_over:
            self._writer.write(json.dumps(message).encode() + b"\n")

    async def _listen(self) -> None:
        try:
            with suppress(ConnectionError):
                while (line := await self._reader.readline()).endswith(b"\n"):
                    self._handle(json.loads(line))
        except Exception:
            log.exception("invalid message from the other process; channel closed")
        finally:
            self._is_over = True
            self._writer.close()  # so that the other end does not wait either
            for answer in self._asked.values():
                if not answer.done():
                    answer.set_exception(ServerStopping())
            for task in self._answering:
                task.cancel()

    def _handle(self, message: Facts) -> None:
        if "tell" in message:
            try:
                self._listens[message["tell"]](message["facts"])
            except Exception:
                log.exception("could not handle the notification %s", message["tell"])
        elif "ask" in message:
            task = asyncio.create_task(self._answer(message))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        else:
            answer = self._asked.get(message["number"])
            if answer is None or answer.done():
                return  # the caller was canceled
            if "error" in message:
                answer.set_exception(to_error(message["error"]))
            else:
                answer.set_result(message["answer"])

    async def _answer(self, message: Facts) -> None:
        number = message["number"]
        try:
            answer = await self._answers[message["ask"]](message["facts"])
            self._send(number=number, answer=answer)
        except LlamaKeepError as error:
            self._send(number=number, error=of_error(error))
        except Exception:
            # The other end waits for a result in any case.
            log.exception("could not handle the request %s", message["ask"])
            self._send(number=number, error=of_error(RunFailed(_BUG)))


def of_error(error: LlamaKeepError) -> Facts:
    """Serialise an error for `to_error`."""
    return {
        "code": error.code,
        "detail": error.detail,
        "retry_after": error.retry_after,
    }


def to_error(facts: Facts) -> LlamaKeepError:
    """Return the error that `of_error` serialised."""
    error = from_code(facts["code"], facts["detail"])
    error.retry_after = facts["retry_after"]
    return error
