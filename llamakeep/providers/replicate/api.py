"""Replicate's HTTP API as this program uses it: one method for each request."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlencode, urlsplit

from llamakeep.errors import (
    AnswerExpired,
    LlamaKeepError,
    ProviderAnswerInvalid,
    ProviderError,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnauthenticated,
    ProviderUnavailable,
)
from llamakeep.http import (
    MOST_CONNECTIONS,
    Client,
    ConnectError,
    Exchange,
    PoolTimeout,
    Response,
    TooLate,
)
from llamakeep.providers.http import (
    read_body,
    read_refusal,
    retry_after,
    translated_errors,
)
from llamakeep.providers.replicate.clock import RemoteClock
from llamakeep.providers.replicate.errors import (
    HOW_TO_AUTHENTICATE,
    refusal,
    seconds_to_wait,
)
from llamakeep.providers.replicate.predictions import (
    MAX_TEXT,
    Prediction,
    prediction_from,
    read_prediction,
)
from llamakeep.providers.replicate.reading import LARGE, invalid, read_json
from llamakeep.settings.values import WEBHOOK_SECRET

WHO = "Replicate"
TRANSIENT = (
    ProviderUnavailable,
    ProviderTimeout,
    ProviderRateLimited,
    ProviderAnswerInvalid,
)
"""What a GET may be repeated after: a page of a proxy's may come in between."""
_MAX_BODY = 4 * MAX_TEXT
_MAX_STREAM_HOSTS = 16
"""Hosts of streams, beside the API's own, to which connections are kept."""
_PAUSES = (0.1, 0.5)
_MAX_PAUSE = 10.0
_NOTHING_PAID = {401, 404, 429}
"""Refusals to create a prediction for which nothing is charged."""
_MAX_PAGES = 400
"""As many predictions as can be created in an hour, and some more."""
_QUICK = 20.0
"""Seconds that a request may take that Replicate answers at once."""

T = TypeVar("T")


class ReplicateApi:
    """Requests to one host, which alone gets the API token."""

    def __init__(
        self,
        base_url: str,
        api_token: str,
        *,
        connect_timeout: float,
        silence_timeout: float,
        most_connections: int = MOST_CONNECTIONS,
    ) -> None:
        self._origin = base_url.rstrip("/").removesuffix("/v1")
        self._api_token = api_token.strip()
        self._silence_timeout = silence_timeout
        self._new_client: Callable[[str], Client] = lambda url: Client(
            url,
            connect_timeout=connect_timeout,
            silence_timeout=silence_timeout,
            most_connections=most_connections,
        )
        self._client = self._new_client(self._origin)
        self._stream_clients: dict[str, Client] = {}
        """By origin, the one that was used last at the end."""
        self._reading = asyncio.Semaphore()
        """Lets one large body be read at a time: each takes much memory."""
        self.clock = RemoteClock()

    async def create(
        self,
        model: str,
        version: str | None,
        body: Mapping[str, Any],
        *,
        wait: int,
        cancel_after: int,
        is_late: Callable[[], bool] | None = None,
    ) -> Prediction:
        """
        Create a prediction; the request is sent once, whatever happens.

        Replicate responds at the end, or after `wait` seconds. It gives up after
        `cancel_after` seconds. Without a version, it is an official model.

        Raises:
            ModelNotFound: There is no such model.
            PromptRejected: The input is not accepted.
            ProviderError: If `answer_may_exist`, there may be a prediction.
        """
        path, sent = f"/v1/models/{model}/predictions", dict(body)
        if version is not None:
            path, sent = "/v1/predictions", {"version": version, **body}
        headers = {"cancel-after": f"{cancel_after}s"}
        if wait:
            headers["prefer"] = f"wait={wait}"
        seconds = max(wait + 10.0, self._silence_timeout if wait else 0.0)
        with translated_errors(WHO):
            post = self._send(
                "POST", path, headers, json=sent, seconds=seconds, is_late=is_late
            )
        was_refused = is_free = False
        try:
            with translated_errors(WHO):
                async with post as response:
                    if not 200 <= response.status < 300:
                        was_refused = response.status < 500 and response.status != 408
                        is_free = response.status in _NOTHING_PAID
                        raise await _refusal(response, model=model)  # noqa: TRY301 - marked below
                    return await self._read(response, read_prediction)
        except ProviderError as error:
            error.was_tried = not isinstance(error.__cause__, TooLate | PoolTimeout)
            not_sent = _was_not_sent(error)
            error.answer_may_exist = not (was_refused or not_sent)
            error.nothing_paid = is_free or not_sent
            raise
        except LlamaKeepError as error:
            error.nothing_paid = is_free
            raise
        except Exception as error:
            # A bug of ours in reading, which must not be paid for twice.
            unread = invalid("is not what was expected")
            unread.answer_may_exist = not was_refused
            raise unread from error

    async def get(self, prediction_id: str, *, tries: int = 3) -> Prediction:
        """
        Return a prediction.

        Raises:
            AnswerExpired: Replicate does not know it, or not yet everywhere.
        """

        def read(body: bytes) -> Prediction:
            prediction = read_prediction(body)
            if prediction.id != prediction_id:
                raise invalid("is another prediction than the one that was asked for")
            return prediction

        return await self._get(f"/v1/predictions/{prediction_id}", read, tries=tries)

    async def cancel(self, prediction_id: str) -> None:
        """Cancel a prediction; one that has ended, or is unknown, stays as it is."""
        path = f"/v1/predictions/{prediction_id}/cancel"
        with translated_errors(WHO):
            async with self._send("POST", path) as response:
                if not (200 <= response.status < 300 or response.status == 404):
                    raise await _refusal(response)
                await read_body(response, _MAX_BODY)

    async def list_recent(self, within: timedelta) -> AsyncGenerator[Prediction, None]:
        """
        Yield the predictions that were created within this time, newest first.

        Replicate's clock counts, not this computer's.

        Raises:
            ProviderError: The list cannot be had, or not all of it.
        """
        query: dict[str, str] = {}
        since: datetime | None = None
        for _ in range(_MAX_PAGES):
            path = f"/v1/predictions?{urlencode(query)}" if query else "/v1/predictions"
            try:
                found, cursor = await self._get(path, _read_page)
            except AnswerExpired as error:
                raise ProviderUnavailable(
                    "Replicate does not list its predictions (404)."
                ) from error
            if since is None:
                since = self.clock.earliest(within, [each.created_at for each in found])
            for each in found:
                if each.created_at is not None and since and each.created_at < since:
                    return
                yield each
            if cursor is None:
                return
            if cursor == query.get("cursor"):
                raise invalid("is a list that goes round in circles")
            query["cursor"] = cursor
        raise invalid("is a list without an end")

    async def webhook_secret(self) -> str:
        """Return what the account's webhooks are signed with."""
        said = None
        with suppress(AnswerExpired):  # a gateway may not know the path
            said = await self._get("/v1/webhooks/default/secret", read_json)
        key = said.get("key") if isinstance(said, dict) else None
        if not isinstance(key, str) or not WEBHOOK_SECRET.fullmatch(key):
            raise ProviderAnswerInvalid(
                "Replicate does not say what it signs webhooks with. Set "
                "LLAMAKEEP_REPLICATE_WEBHOOK_SECRET."
            )
        return key

    async def model(self, path: str) -> Any:
        """Return a model (`owner/name`) or, below it, a version, as JSON."""
        return await self._get(f"/v1/models/{path}", read_json, model=path)

    @asynccontextmanager
    async def open_stream(self, url: str) -> AsyncIterator[Response | None]:
        """
        Lend the stream at `url`, or nothing if it is no address to trust.

        The address is the credential: the API token is not sent.
        """
        found = self._stream_client(url)
        if found is None:
            yield None
            return
        await self._forget_stream_hosts()
        client, path = found
        headers = {"accept": "text/event-stream", "cache-control": "no-store"}
        async with client.send("GET", path, headers=headers) as response:
            yield response

    async def close(self) -> None:
        """Close all connections."""
        for client in (self._client, *self._stream_clients.values()):
            await client.close()

    async def _get(
        self,
        path: str,
        read: Callable[[bytes], T],
        *,
        tries: int = 3,
        model: str | None = None,
    ) -> T:
        pauses = iter(_PAUSES[: tries - 1])
        while True:
            try:
                with translated_errors(WHO):
                    async with self._send("GET", path) as response:
                        if not 200 <= response.status < 300:
                            raise await _refusal_of_get(response, model=model)
                        return await self._read(response, read)
            except TRANSIENT as error:
                pause = next(pauses, None)
                if pause is None or (error.retry_after or 0) > _MAX_PAUSE:
                    raise
                await asyncio.sleep(max(pause, error.retry_after or 0))

    async def _read(self, response: Response, read: Callable[[bytes], T]) -> T:
        self.clock.hear(response.header("date"))
        body = await read_body(response, _MAX_BODY)
        if len(body) <= LARGE:
            return read(body)
        async with self._reading:
            return await asyncio.to_thread(read, body)

    def _send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        json: Any = None,
        seconds: float = _QUICK,
        is_late: Callable[[], bool] | None = None,
    ) -> Exchange:
        if not self._api_token.isascii() or not self._api_token.isprintable():
            raise ProviderUnauthenticated(
                f"REPLICATE_API_TOKEN cannot be an API token. {HOW_TO_AUTHENTICATE}"
            )
        authorization = {"authorization": f"Bearer {self._api_token}"}
        return self._client.send(
            method,
            path,
            headers=authorization | dict(headers or {}),
            json=json,
            seconds=seconds,
            is_late=is_late,
        )

    def _stream_client(self, url: str) -> tuple[Client, str] | None:
        if url.startswith(self._origin + "/"):
            return self._client, url.removeprefix(self._origin)
        try:
            parts = urlsplit(url)
            host = parts.hostname
        except ValueError:
            return None
        is_safe = parts.scheme == "https" or host == urlsplit(self._origin).hostname
        if not host or not is_safe or "@" in parts.netloc:
            return None
        origin = f"{parts.scheme}://{parts.netloc}"
        client = self._stream_clients.pop(origin, None)
        if client is None:
            try:
                client = self._new_client(origin)
            except ValueError:
                return None
        self._stream_clients[origin] = client
        return client, url.removeprefix(origin)

    async def _forget_stream_hosts(self) -> None:
        """Close the least recently used client; its open streams continue."""
        while len(self._stream_clients) > _MAX_STREAM_HOSTS:
            oldest = next(iter(self._stream_clients))
            await self._stream_clients.pop(oldest).close()


def _was_not_sent(error: ProviderError) -> bool:
    """Return whether there was no connection that anything could be said on."""
    cause = error.__cause__
    return isinstance(cause, ConnectError) and not isinstance(cause, TooLate)


async def _refusal(response: Response, *, model: str | None = None) -> LlamaKeepError:
    return _error(response, await read_refusal(response), model=model)


async def _refusal_of_get(response: Response, *, model: str | None) -> LlamaKeepError:
    body = await read_refusal(response)
    error = _error(response, body, model=model)
    is_named = isinstance(error, ProviderError) and type(error) is not ProviderError
    if model is not None or (is_named and isinstance(body, dict)):
        return error
    if isinstance(error, (*TRANSIENT, AnswerExpired)):
        return error
    # Nothing is wrong with the request: a proxy has answered it.
    return ProviderUnavailable(f"Replicate is not available ({response.status}).")


def _error(response: Response, body: Any, *, model: str | None) -> LlamaKeepError:
    seconds = seconds_to_wait(
        body,
        stated=retry_after(response.header("retry-after"), body),
        reset=response.header("ratelimit-reset"),
    )
    return refusal(response.status, body, model=model, retry_after=seconds)


def _read_page(body: bytes) -> tuple[list[Prediction], str | None]:
    page = read_json(body)
    results = page.get("results") if isinstance(page, dict) else None
    if not isinstance(results, list):
        raise invalid("is not a list of predictions")
    # One that cannot be read might be the one that is looked for.
    return [prediction_from(each) for each in results], _cursor(page.get("next"))


def _cursor(url: Any) -> str | None:
    """Return where the next page begins; its address may lead elsewhere."""
    if url is None:
        return None
    if isinstance(url, str):
        with suppress(ValueError, KeyError):
            return parse_qs(urlsplit(url).query)["cursor"][0]
    raise invalid("is a list whose next page cannot be found")
