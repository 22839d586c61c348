"""`llamakeep ask --server`: a client that resumes after connection failures."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from typing import Any
from uuid import uuid4

from pydantic_core import from_json

from llamakeep import errors
from llamakeep.cli.screen import Screen
from llamakeep.domain import Item, NewRun, Reasoning, Text, ToolCall
from llamakeep.errors import (
    LlamaKeepError,
    ProviderAnswerInvalid,
    ProviderUnavailable,
)
from llamakeep.http import (
    Client,
    ConnectError,
    ConnectionLost,
    Exchange,
    HttpError,
    ReadTimeout,
    Response,
)
from llamakeep.providers.http import (
    message_of,
    read_body,
    read_refusal,
    translated_errors,
)
from llamakeep.providers.sse import EventParser, EventTooLarge, ServerSentEvent

CONNECT_TIMEOUT = 10
SILENCE_TIMEOUT = 60
"""Seconds; the server sends a comment every ten while a run is unfinished."""
CANCEL_TIMEOUT = 5
PAUSES = (0.2, 1, 2, 5)
"""Seconds before each retry; new data resets the count."""
_LARGEST_LOGIN = 64 * 1024
_URN = "urn:llamakeep:problem:"


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
    if not url.startswith(("http://", "https://")):
        url = f"http://{url}"
    client = Client(
        url, connect_timeout=CONNECT_TIMEOUT, silence_timeout=SILENCE_TIMEOUT
    )
    caller = _Caller(client, f"The server at {url}", access_token)
    try:
        with translated_errors(caller.who):
            if password is not None:
                await caller.log_in(username, password)
            return await _PromptStream(caller, asked, screen).to_the_end()
    finally:
        await client.close()


class _Caller:
    def __init__(self, client: Client, who: str, access_token: str | None) -> None:
        self._client = client
        self._access_token = access_token
        self.who = who

    async def log_in(self, username: str | None, password: str) -> None:
        body = {"username": username, "password": password}
        async with self._client.send("POST", "/login/", json=body) as response:
            await self._check(response)
            answer = from_json(await read_body(response, _LARGEST_LOGIN))
        self._access_token = answer["token"]

    def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        *,
        seconds: float | None = None,
    ) -> Exchange:
        given = dict(headers or {})
        if self._access_token is not None:
            given["authorization"] = f"Bearer {self._access_token}"
        return self._client.send(
            method, path, headers=given, json=json, seconds=seconds
        )

    async def cancel(self, run_id: str) -> None:
        path = f"/history/{run_id}/cancel"
        async with self.send("POST", path, seconds=CANCEL_TIMEOUT) as response:
            await self._check(response)

    async def events(self, sent: Exchange) -> AsyncGenerator[ServerSentEvent, None]:
        parser = EventParser()
        async with sent as response:
            await self._check(response)
            while (data := await response.read()) is not None:
                try:
                    events = parser.feed(data)
                except EventTooLarge as error:
                    raise ProviderAnswerInvalid(
                        f"{self.who} sent an event that is too large."
                    ) from error
                for event in events:
                    yield event

    async def _check(self, response: Response) -> None:
        if response.status < 300:
            return
        body = await read_refusal(response)
        if isinstance(body, dict) and str(body.get("type")).startswith(_URN):
            raise _error(body)
        said = message_of(body) if isinstance(body, dict) else None
        raise ProviderAnswerInvalid(
            f"{self.who} answered {response.status}"
            + (f": {said}" if said else ". Is that a llamakeep server?")
        )


class _PromptStream:
    def __init__(self, caller: _Caller, asked: NewRun, screen: Screen) -> None:
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
                        error = _error(body)
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


def _error(problem: dict[str, Any]) -> LlamaKeepError:
    code = str(problem.get("type")).removeprefix(_URN)
    error = errors.from_code(code, str(problem.get("detail") or problem.get("title")))
    error.run_id = problem.get("run_id")
    return error
