"""Requests to a llamakeep server, as one user."""

import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from pydantic_core import from_json

from llamakeep import errors
from llamakeep.cli.environment import local_username
from llamakeep.errors import LlamaKeepError, ProviderAnswerInvalid
from llamakeep.http import Client, Exchange, Response
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
_LARGEST = 64 * 1024
_URN = "urn:llamakeep:problem:"


class Caller:
    """Sends requests with an access token or API key."""

    def __init__(self, client: Client, who: str, access_token: str | None) -> None:
        self._client = client
        self._access_token = access_token
        self.who = who

    async def log_in(self, username: str | None, password: str) -> None:
        """Log in with a password, for what is sent from then on."""
        body = {"username": username, "password": password}
        self._access_token = token_in(await self.fetch("POST", "/login/", body))

    async def fetch(self, method: str, path: str, json: Any = None) -> dict[str, Any]:
        """
        Return the JSON object that a request is answered with; empty for no body.

        Raises:
            ProviderAnswerInvalid: It is answered with something else.
        """
        async with self.send(method, path, json=json) as response:
            await self.check(response)
            body = await read_body(response, _LARGEST)
        try:
            found = from_json(body or b"{}")
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ProviderAnswerInvalid(
                f"{self.who} answered no JSON object. Is that a llamakeep server?"
            )
        return found

    def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        *,
        seconds: float | None = None,
    ) -> Exchange:
        """Begin a request."""
        given = dict(headers or {})
        if self._access_token is not None:
            given["authorization"] = f"Bearer {self._access_token}"
        return self._client.send(
            method, path, headers=given, json=json, seconds=seconds
        )

    async def cancel(self, run_id: str) -> None:
        """Cancel a run."""
        path = f"/history/{run_id}/cancel"
        async with self.send("POST", path, seconds=CANCEL_TIMEOUT) as response:
            await self.check(response)

    async def events(self, sent: Exchange) -> AsyncGenerator[ServerSentEvent, None]:
        """Yield the events of a response."""
        parser = EventParser()
        async with sent as response:
            await self.check(response)
            while (data := await response.read()) is not None:
                try:
                    events = parser.feed(data)
                except EventTooLarge as error:
                    raise ProviderAnswerInvalid(
                        f"{self.who} sent an event that is too large."
                    ) from error
                for event in events:
                    yield event

    async def check(self, response: Response) -> None:
        """
        Check the status of a response.

        Raises:
            LlamaKeepError: It is an error's.
        """
        if response.status < 300:
            return
        body = await read_refusal(response)
        if isinstance(body, dict) and str(body.get("type")).startswith(_URN):
            raise error_of(body)
        said = message_of(body) if isinstance(body, dict) else None
        raise ProviderAnswerInvalid(
            f"{self.who} answered {response.status}"
            + (f": {said}" if said else ". Is that a llamakeep server?")
        )


def token_in(found: dict[str, Any]) -> str:
    """
    Return the access token in a response.

    Raises:
        ProviderAnswerInvalid: There is none.
    """
    token = found.get("token")
    if not isinstance(token, str):
        raise ProviderAnswerInvalid(
            "The server answered a login without a token. Is that a llamakeep server?"
        )
    return token


@asynccontextmanager
async def calling(
    url: str, *, access_token: str | None = None
) -> AsyncIterator[Caller]:
    """Open connections to a server; errors of the HTTP client are translated."""
    url = with_scheme(url)
    client = Client(
        url,
        connect_timeout=CONNECT_TIMEOUT,
        silence_timeout=SILENCE_TIMEOUT,
        headers={"user-agent": f"llamakeep ({own_name()})"},
    )
    caller = Caller(client, f"The server at {url}", access_token)
    try:
        with translated_errors(caller.who):
            yield caller
    finally:
        await client.close()


def with_scheme(url: str) -> str:
    """Return the URL of a server, which may have been written without its scheme."""
    return url if url.startswith(("http://", "https://")) else f"http://{url}"


def own_name() -> str:
    """Return this user's and computer's names, as a server shows them."""
    name = f"{local_username()}@{socket.gethostname()}"[:128]
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in name)


def error_of(problem: dict[str, Any]) -> LlamaKeepError:
    """Return the error that a problem tells of."""
    code = str(problem.get("type")).removeprefix(_URN)
    error = errors.from_code(code, str(problem.get("detail") or problem.get("title")))
    error.run_id = problem.get("run_id")
    return error
