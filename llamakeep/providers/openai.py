"""Any server that speaks OpenAI's chat completions: vLLM, Ollama, llama.cpp, Groq."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import Any

from pydantic_core import from_json

from llamakeep.domain import Price
from llamakeep.errors import (
    LlamaKeepError,
    ProviderAnswerInvalid,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
)
from llamakeep.http import Client, HttpError, Response
from llamakeep.providers.base import Accepted, CompletionRequest, Event
from llamakeep.providers.chat_completions import (
    MAX_TEXT,
    CompletionReader,
    refusal,
    request_body,
)
from llamakeep.providers.http import (
    read_body,
    read_refusal,
    retry_after,
    translated_errors,
)
from llamakeep.providers.sse import EventParser, EventTooLarge

_OK = 200
_MAX_MODEL_LIST = 4 * 1024 * 1024
_MODEL_LIST_TIMEOUT = 10.0
_FAREWELL_TIMEOUT = 0.1


class OpenAIProvider:
    """
    A server at a base URL that answers chat completions, streamed.

    A prompt is sent once and never again by itself. All parameters are passed on; a
    server that does not know one says so, or ignores it.

    Args:
        base_url: With its `/v1`.
        api_key: Goes to that server only.
        models: The models that may be used, the first being the default. Without any,
            every name is passed on and the server's first model is the default.
        name: The part before the colon of a model's name.
        who: What error messages call it, at the start of a sentence.
        is_free: Whether asking twice costs nothing.
        unsupported: The parameters that it is known to ignore.
        keep_alive: Whether connections are used again.
        connect_timeout: Seconds it may take to accept a connection.
        silence_timeout: Seconds it may be silent.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        models: Sequence[str] = (),
        name: str = "openai",
        who: str = "The OpenAI-compatible server",
        is_free: bool = False,
        unsupported: frozenset[str] = frozenset(),
        keep_alive: bool = True,
        connect_timeout: float = 5,
        silence_timeout: float = 100,
    ) -> None:
        self.name = name
        self.is_free = is_free
        self.unsupported = unsupported
        self._models = tuple(models)
        self._default_model: str | None = models[0] if models else None
        self._who = who
        self._keep_alive = keep_alive
        authorization = None
        if api_key is not None:
            authorization = {"authorization": f"Bearer {api_key}"}
        self._client = Client(
            base_url,
            connect_timeout=connect_timeout,
            silence_timeout=silence_timeout,
            headers=authorization,
        )

    async def default_model(self) -> str:
        """Return the first model of the settings, or of the server's list."""
        if self._default_model is None:
            [self._default_model, *_] = await self._listed_models()
        return self._default_model

    async def models(self) -> Sequence[str]:
        """Return the models of the settings, or those that the server lists."""
        return self._models or await self._listed_models()

    def serves(self, model: str) -> bool:
        """Return whether `model` may be asked for."""
        return not self._models or model in self._models

    def price(self, model: str) -> Price | None:  # noqa: ARG002 - the protocol's
        """Return nothing: there are as many prices as servers."""
        return None

    async def answer(self, request: CompletionRequest) -> AsyncGenerator[Event, None]:
        """Answer `request`, as `Provider.answer` says."""
        reader = CompletionReader(self._who)
        with translated_errors(self._who):
            post = self._client.send(
                "POST",
                "/chat/completions",
                json=request_body(request),
                keep_alive=self._keep_alive,
            )
            async with post as response:
                if response.status != _OK:
                    raise await self._refusal(response, request.model)
                if response.header("server") == "llama.cpp":
                    # It says keep-alive and closes: the next prompt would be lost.
                    self._keep_alive = False
                media_type = response.header("content-type") or ""
                if media_type.startswith("application/json"):
                    whole = reader.read(await read_body(response, 2 * MAX_TEXT))
                    yield Accepted(reader.finished().resolved_model)
                    if whole:
                        yield whole
                elif media_type.startswith("text/html"):
                    raise ProviderAnswerInvalid(f"{self._who} answered with a page.")
                else:
                    yield Accepted()
                    texts = _StreamedTexts(response, reader, self._who)
                    while (text := await texts.next()) is not None:
                        yield text
        yield reader.finished()

    async def warm_up(self) -> None:
        """Do nothing: connections are made when they are needed."""

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def _refusal(self, response: Response, model: str) -> LlamaKeepError:
        body = await read_refusal(response)
        return refusal(
            response.status,
            body,
            who=self._who,
            model=model,
            retry_after=retry_after(response.header("retry-after"), body),
        )

    async def _listed_models(self) -> Sequence[str]:
        with translated_errors(self._who):
            get = self._client.send(
                "GET",
                "/models",
                seconds=_MODEL_LIST_TIMEOUT,
                keep_alive=self._keep_alive,
            )
            async with get as response:
                if response.status != _OK:
                    error = await self._refusal(response, "")
                    if isinstance(error, ProviderError):
                        raise error
                    raise ProviderError(error.detail)
                body = await read_body(response, _MAX_MODEL_LIST)
        try:
            return _listed_ids(from_json(body))
        except ValueError as exc:
            raise ProviderAnswerInvalid(
                f"{self._who} did not list its models. Name one in the prompt's "
                "`model`, or in LLAMAKEEP_OPENAI_MODELS."
            ) from exc


def _listed_ids(listing: Any) -> Sequence[str]:
    match listing:
        case {"data": [{"id": str(first)}, *others]} if first:
            ids = (one.get("id") for one in others if isinstance(one, dict))
            return [first, *(one for one in ids if isinstance(one, str) and one)]
    raise ValueError


class _StreamedTexts:
    """
    The texts of a streamed response, joined as they arrived together.

    It is no generator: one inside another is not closed with it.
    """

    def __init__(self, response: Response, reader: CompletionReader, who: str) -> None:
        self._response = response
        self._reader = reader
        self._who = who
        self._parser = EventParser()
        self._has_bytes = self._has_events = False
        self._failure: LlamaKeepError | None = None

    async def next(self) -> str | None:
        """Return some more text, or `None` when there is no more."""
        if self._failure is not None:
            raise self._failure
        while not self._reader.is_done and (data := await self._read()) is not None:
            self._has_bytes = True
            try:
                blocks = self._parser.blocks(data)
            except EventTooLarge as exc:
                raise ProviderAnswerInvalid(
                    f"{self._who} sent an endless event."
                ) from exc
            if text := self._read_blocks(blocks):
                return text
            if self._failure is not None:
                raise self._failure
        if self._reader.is_done:
            await self._hear_out()
        elif self._has_bytes and not self._has_events:
            raise ProviderAnswerInvalid(f"{self._who} sent no events.")
        elif not self._reader.is_complete:
            raise ProviderUnavailable(f"{self._who} broke off its answer.")
        return None

    def _read_blocks(self, blocks: Sequence[bytes]) -> str:
        texts: list[str] = []
        at = 0
        try:
            while at < len(blocks) and not self._reader.is_done:
                text, at = self._reader.read_alike(blocks, at)
                texts.append(text)
                if at < len(blocks):
                    texts.append(self._read_event(blocks[at]))
                    at += 1
        except ProviderError as exc:
            self._failure = exc  # after the texts that came before it
        return "".join(texts)

    def _read_event(self, block: bytes) -> str:
        event = self._parser.parsed(block)
        if event is None:
            return ""
        self._has_events = True
        return self._reader.read(event.data)

    async def _read(self) -> bytes | None:
        try:
            with translated_errors(self._who):
                return await self._response.read()
        except (ProviderUnavailable, ProviderTimeout):
            if self._reader.is_complete:
                return None  # only the usage is missing
            raise

    async def _hear_out(self) -> None:
        """Read the end of the body, without which the connection is not used again."""
        with suppress(TimeoutError, HttpError):
            async with asyncio.timeout(_FAREWELL_TIMEOUT):
                await self._response.read()
