"""`llamakeep ask --server`: a client that resumes after connection failures."""

import asyncio
from contextlib import aclosing, suppress
from typing import Any
from uuid import uuid4

from pydantic_core import from_json

from llamakeep.cli.remote.caller import Caller, calling, error_of
from llamakeep.cli.screen import Screen
from llamakeep.domain import Item, NewRun, Reasoning, Text, ToolCall
from llamakeep.errors import ProviderUnavailable
from llamakeep.http import (
    ConnectError,
    ConnectionLost,
    Exchange,
    HttpError,
    ReadTimeout,
)

PAUSES = (0.2, 1, 2, 5)
"""Seconds before each retry; new data resets the count."""


async def ask_server(
    asked: NewRun,
    url: str,
    screen: Screen,
    *,
    access_token: str | None = None,
    username: str | None = None,
    password: str | None = None,
) -> str:
    """
    Run a prompt on a server.

    After a lost connection, the stream is resumed. Cancellation cancels the run; its
    text so far is kept.

    Returns:
        The id of the run's conversation.

    Raises:
        LlamaKeepError: The server's error, or the server cannot be reached.
    """
    async with calling(url, access_token=access_token) as caller:
        if password is not None:
            await caller.log_in(username, password)
        return await _PromptStream(caller, asked, screen).to_the_end()


class _PromptStream:
    def __init__(self, caller: Caller, asked: NewRun, screen: Screen) -> None:
        self._caller = caller
        self._asked = asked
        self._screen = screen
        self._key = f"ask-{uuid4()}"
        self._run_id: str | None = None
        self._position = "0"
        self._tries = 0

    async def to_the_end(self) -> str:
        try:
            while True:
                try:
                    return await self._follow()
                except (ConnectionLost, ReadTimeout, ConnectError, EOFError) as error:
                    # A server that has accepted the run may be restarting.
                    is_absent = isinstance(error, ConnectError) and not self._run_id
                    if is_absent or self._tries == len(PAUSES):
                        raise ProviderUnavailable(
                            f"{self._caller.who} cannot be reached, or breaks off."
                        ) from error
                await asyncio.sleep(PAUSES[self._tries])
                self._tries += 1
        except asyncio.CancelledError:
            if self._run_id is not None:
                with suppress(HttpError):
                    await self._caller.cancel(self._run_id)
            raise

    async def _follow(self) -> str:
        """Write the response, and return the conversation's id at its end."""
        async with aclosing(self._caller.events(self._ask())) as events:
            async for event in events:
                body = from_json(event.data)
                match event.name:
                    case "run":
                        self._run_id = body["id"]
                        continue
                    case "delta" | "item_delta":
                        self._screen.add(body["text"])
                    case "item":
                        self._screen.begin(_item_of(body))
                    case "reset":
                        self._screen.replace(body["text"])
                    case "done":
                        return str(body["conversation_id"])
                    case "error":
                        error = error_of(body)
                        error.run_id = error.run_id or self._run_id
                        raise error
                self._position = event.id or self._position
                self._tries = 0
        raise EOFError

    def _ask(self) -> Exchange:
        if self._run_id is not None:
            where = {"last-event-id": self._position}
            return self._caller.send("GET", f"/history/{self._run_id}/stream", where)
        asked = self._asked
        body: dict[str, Any] = {
            "prompt": asked.prompt,
            "model": asked.model,
            "system_prompt": asked.system_prompt,
            "conversation_id": asked.conversation_id,
            "previous_run_id": asked.previous_run_id,
            "stream": True,
        } | asked.parameters.given()
        # With the idempotency key, a repeated request finds the same run.
        return self._caller.send(
            "POST", "/prompt/", {"idempotency-key": self._key}, body
        )


def _item_of(facts: dict[str, Any]) -> Item:
    """Return an item that begins; what this version does not know is like a text."""
    if facts["type"] == "tool_call":
        return ToolCall(facts["call_id"], facts["name"])
    return Reasoning() if facts["type"] == "reasoning" else Text()
