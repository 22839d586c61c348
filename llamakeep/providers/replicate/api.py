"""Replicate's HTTP API as this program uses it: one method for each request."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from llamakeep.errors import (
    AnswerExpired,
    LlamaKeepError,
    PromptRejected,
    ProviderAnswerInvalid,
    ProviderError,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnauthenticated,
    ProviderUnavailable,
)
from llamakeep.http import Client, Exchange, NotConnected, Response
from llamakeep.providers.http import (
    read_body,
    read_refusal,
    retry_after,
    translated_errors,
)
from llamakeep.providers.replicate.errors import (
    HOW_TO_AUTHENTICATE,
    refusal,
    seconds_to_wait,
)
from llamakeep.providers.replicate.predictions import (
    MAX_TEXT,
    Prediction,
    prediction_from,
    read_json,
    read_prediction,
)
from llamakeep.settings import WEBHOOK_SECRET

WHO = "Replicate"
TRANSIENT = (ProviderUnavailable, ProviderTimeout, ProviderRateLimited)
"""What a GET may be repeated after."""
_MAX_BODY = 4 * MAX_TEXT
_MAX_STREAM_HOSTS = 16
_PAUSES = (0.1, 0.5)
_MAX_PAUSE = 10.0
_MAX_PAGES = 50
_QUICK = 20.0
"""Seconds that a request may take that Replicate answers at once."""


class ReplicateApi:
    """
    Requests to one host, which alone gets the API token.

    Args:
        base_url: With or without its `/v1`.
        api_token: Goes to that host only.
        connect_timeout: Seconds it may take to accept a connection.
        silence_timeout: Seconds it may be silent.
    """

    def __init__(
        self,
        base_url: str,
        api_token: str,
        *,
        connect_timeout: float,
        silence_timeout: float,
    ) -> None:
        self._origin = base_url.rstrip("/").removesuffix("/v1")
        self._api_token = api_token.strip()
        self._silence_timeout = silence_timeout
        self._new_client: Callable[[str], Client] = lambda url: Client(
            url, connect_timeout=connect_timeout, silence_timeout=silence_timeout
        )
        self._client = self._new_client(self._origin)
        self._stream_clients: dict[str, Client] = {}

    async def create(
        self,
        model: str,
        version: str | None,
        body: Mapping[str, Any],
        *,
        wait: int,
        cancel_after: int,
    ) -> Prediction:
        """
        Create a prediction; the request is sent once, whatever happens.

        Args:
            model: `owner/name`, of an official model if `version` is not given.
            version: The version to run.
            body: The input, and a webhook.
            wait: For how many seconds to wait for the end; 0 for not at all.
            cancel_after: Seconds after which Replicate gives up.

        Raises:
            PromptRejected: The model or the input is not accepted.
            ProviderError: If `answer_may_exist`, there may be a prediction.
        """
        path, sent = f"/v1/models/{model}/predictions", dict(body)
        if version is not None:
            path, sent = "/v1/predictions", {"version": version, **body}
        headers = {"cancel-after": f"{cancel_after}s"}
        if wait:
            headers["prefer"] = f"wait={wait}"
        seconds = max(wait + 10.0, self._silence_timeout if wait else 0.0)
        was_refused = False
        try:
            with translated_errors(WHO):
                post = self._send("POST", path, headers, json=sent, seconds=seconds)
                async with post as response:
                    if response.status not in {200, 201, 202}:
                        was_refused = response.status < 500 and response.status != 408
                        raise await _refusal(response, model=model)
                    return read_prediction(await read_body(response, _MAX_BODY))
        except ProviderError as error:
            error.answer_may_exist = not (was_refused or _was_not_sent(error))
            raise

    async def get(self, prediction_id: str, *, tries: int = 3) -> Prediction:
        """Return a prediction."""
        path = f"/v1/predictions/{prediction_id}"
        return read_prediction(await self._get(path, tries=tries))

    async def cancel(self, prediction_id: str) -> None:
        """Cancel a prediction; one that has ended, or is unknown, stays as it is."""
        path = f"/v1/predictions/{prediction_id}/cancel"
        with translated_errors(WHO):
            async with self._send("POST", path) as response:
                if response.status not in {200, 201, 202, 204, 404}:
                    raise await _refusal(response)
                await read_body(response, _MAX_BODY)

    async def list_since(self, since: datetime) -> AsyncGenerator[Prediction, None]:
        """Yield the predictions that were created after `since`, newest first."""
        query = {"created_after": since.isoformat()}
        for _ in range(_MAX_PAGES):
            body = await self._get(f"/v1/predictions?{urlencode(query)}")
            page = read_json(body)
            results = page.get("results") if isinstance(page, dict) else None
            if not isinstance(results, list):
                raise ProviderAnswerInvalid("Replicate did not list its predictions.")
            for each in results:
                # One that cannot be read, of whatever model, is none of ours.
                with suppress(ProviderAnswerInvalid):
                    yield prediction_from(each)
            cursor = _cursor(page.get("next"))
            if cursor is None:
                return
            query["cursor"] = cursor

    async def webhook_secret(self) -> str:
        """Return what the account's webhooks are signed with."""
        said = None
        with suppress(AnswerExpired):  # a gateway may not know the path
            said = read_json(await self._get("/v1/webhooks/default/secret"))
        key = said.get("key") if isinstance(said, dict) else None
        if not isinstance(key, str) or not WEBHOOK_SECRET.fullmatch(key):
            raise ProviderAnswerInvalid(
                "Replicate does not say what it signs webhooks with. Set "
                "LLAMAKEEP_REPLICATE_WEBHOOK_SECRET."
            )
        return key

    async def model(self, path: str) -> Any:
        """Return a model (`owner/name`) or, below it, a version, as JSON."""
        return read_json(await self._get(f"/v1/models/{path}", model=path))

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
        client, path = found
        headers = {"accept": "text/event-stream", "cache-control": "no-store"}
        async with client.send("GET", path, headers=headers) as response:
            yield response

    async def close(self) -> None:
        """Close all connections."""
        for client in (self._client, *self._stream_clients.values()):
            await client.close()

    async def _get(
        self, path: str, *, tries: int = 3, model: str | None = None
    ) -> bytes:
        pauses = iter(_PAUSES[: tries - 1])
        while True:
            try:
                with translated_errors(WHO):
                    async with self._send("GET", path) as response:
                        if response.status != 200:
                            raise await _refusal(response, model=model)
                        return await read_body(response, _MAX_BODY)
            except TRANSIENT as error:
                pause = next(pauses, None)
                if pause is None or (error.retry_after or 0) > _MAX_PAUSE:
                    raise
                await asyncio.sleep(max(pause, error.retry_after or 0))
            except PromptRejected as error:
                if model is not None:
                    raise
                raise ProviderError(error.detail) from error

    def _send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        json: Any = None,
        seconds: float = _QUICK,
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
        client = self._stream_clients.get(origin)
        if client is None:
            if len(self._stream_clients) >= _MAX_STREAM_HOSTS:
                return None
            try:
                client = self._new_client(origin)
            except ValueError:
                return None
            self._stream_clients[origin] = client
        return client, url.removeprefix(origin)


def _was_not_sent(error: ProviderError) -> bool:
    """Return whether there was no connection that anything could be said on."""
    if isinstance(error, ProviderUnauthenticated):
        return True  # by ourselves
    return isinstance(error.__cause__, NotConnected)


async def _refusal(response: Response, *, model: str | None = None) -> LlamaKeepError:
    body = await read_refusal(response)
    seconds = seconds_to_wait(
        body,
        stated=retry_after(response.header("retry-after"), body),
        reset=response.header("ratelimit-reset"),
    )
    return refusal(response.status, body, model=model, retry_after=seconds)


def _cursor(url: Any) -> str | None:
    """Return where the next page begins; its address may lead elsewhere."""
    if not isinstance(url, str):
        return None
    with suppress(ValueError):
        return next(iter(parse_qs(urlsplit(url).query).get("cursor", ())), None)
    return None
