"""Any server that speaks OpenAI's chat completions: vLLM, Ollama, llama.cpp, Groq."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from time import monotonic
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from llamakeep.domain import Capabilities, MaxTokensName, Price
from llamakeep.domain.embeddings import texts_of
from llamakeep.errors import (
    ContextLengthExceeded,
    LlamaKeepError,
    ProviderAnswerInvalid,
    ProviderError,
)
from llamakeep.http import MOST_CONNECTIONS, Client, Response
from llamakeep.providers.base import (
    DEFAULT_MODEL,
    Accepted,
    CompletionRequest,
    Event,
)
from llamakeep.providers.http import (
    read_body,
    read_refusal,
    retry_after,
    translated_errors,
)
from llamakeep.providers.images import data_urls
from llamakeep.providers.json_text import read_json
from llamakeep.providers.openai.capabilities import KnownCapabilities, listed_ids
from llamakeep.providers.openai.chat_completions import CompletionReader
from llamakeep.providers.openai.chat_stream import ChatStream
from llamakeep.providers.openai.embeddings import (
    embeddings_body,
    longest_answer,
    read_embeddings,
)
from llamakeep.providers.openai.props import LEARNING_TIMEOUT, fetch_props
from llamakeep.providers.openai.refusals import (
    OF_VARIABLES,
    Reason,
    SettingNames,
    is_about,
    refusal,
    refuses_name,
)
from llamakeep.providers.openai.requests import (
    USUAL,
    Wording,
    has_sealed,
    request_body,
    shortened,
)
from llamakeep.providers.openai.sealed import HANDED_BACK

_OK = 200
_EMPTY = {204, 205}
_SERVER_ERRORS = 500
_NOT_IMPLEMENTED = 501
_UNAVAILABLE = 503
_TELLS_NOTHING = {401, 402, 403, 408, 425, 429}
"""Refusals of a question that say nothing about what was asked for."""
_MOST_WORDINGS = 1000
_OTHER_NAME: Mapping[MaxTokensName, MaxTokensName] = {
    "max_tokens": "max_completion_tokens",
    "max_completion_tokens": "max_tokens",
}
_MAX_MODEL_LIST = 4 * 1024 * 1024
_MODEL_LIST_TIMEOUT = 10.0
_LEARNT_AGAIN = 600.0
"""Seconds after which a server is asked again what its models can do."""


class OpenAIProvider:
    """
    A server at a base URL that answers chat completions, streamed, and embeddings.

    A prompt is sent once and never again by itself. All parameters are passed on; a
    server that does not know one says so, or ignores it. The base URL has the `/v1`. Of
    `models`, the first is the default; without any, every name is passed on and the
    server's first model is the default. Error messages call it `who`, at the start of a
    sentence. It is known to ignore the parameters in `unsupported`. What is known of
    what models cost and can do is in `prices` and `able`.
    """

    embedding_options = frozenset({"dimensions", "token_ids"})

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
        most_connections: int = MOST_CONNECTIONS,
        headers: Mapping[str, str] = MappingProxyType({}),
        prices: Mapping[str, Price] = MappingProxyType({}),
        able: Mapping[str, Capabilities] = MappingProxyType({}),
        unavailable_is_free: bool = False,
        setting_names: SettingNames = OF_VARIABLES,
    ) -> None:
        self._prices = prices
        self._able = able
        self._free = {_UNAVAILABLE} if unavailable_is_free else frozenset()
        self._setting_names = setting_names
        self.name = name
        self.is_free = is_free
        self.unsupported = unsupported
        self._models = dict.fromkeys(models)  # there may be thousands
        self._default_model: str | None = models[0] if models else None
        self._wordings: dict[str, Wording] = {}
        """Of models that refused what most of them take."""
        self._known = KnownCapabilities()
        self._learn_at = self._ask_props_at = 0.0
        self._reading = asyncio.Lock()
        """Held by the one answer with vectors that is read: they may be large."""
        self._who = who
        self._base_url = base_url
        self._api_key = api_key
        self._keep_alive = keep_alive
        self._headers = {name.lower(): value for name, value in headers.items()}
        if api_key is not None:
            self._headers["authorization"] = f"Bearer {api_key}"
        self._client = Client(
            base_url,
            connect_timeout=connect_timeout,
            silence_timeout=silence_timeout,
            most_connections=most_connections,
            headers=self._headers,
        )

    async def default_model(self) -> str:
        """Return the first model of the settings, or of the server's list."""
        if self._default_model is None:
            [self._default_model, *_] = await self._listed_models()
        return self._default_model

    async def models(self) -> Sequence[str]:
        """Return the models of the settings, or those that the server lists."""
        if not self._models:
            return await self._listed_models()
        if monotonic() >= self._learn_at:
            self._learn_at = monotonic() + _LEARNT_AGAIN
            with suppress(LlamaKeepError, TimeoutError):
                async with asyncio.timeout(LEARNING_TIMEOUT):
                    await self._listed_models()
        return [*self._models]

    async def has_model(self, model: str) -> bool:
        """Return whether a model can be asked for, as `ModelLookup.has_model` says."""
        try:
            listed = await self.models()
        except ProviderAnswerInvalid:
            return True  # it does not say which it has
        if self._models or model in listed or f"{model}:latest" in listed:
            return model in listed or not self._models
        async with self._get(f"/models/{quote(model, safe='')}") as response:
            status = response.status
            if status == _OK:
                body = await read_body(response, _MAX_MODEL_LIST)
            elif status == _NOT_IMPLEMENTED or (
                status < _SERVER_ERRORS and status not in _TELLS_NOTHING
            ):
                return False
            else:
                raise self._refusal(response, await read_refusal(response), model)
        try:
            found = read_json(body)
        except ValueError:
            return False
        return isinstance(found, dict) and isinstance(found.get("id"), str)

    def serves(self, model: str) -> bool:
        """Return whether `model` may be asked for."""
        return not self._models or model in self._models

    def price(self, model: str) -> Price | None:
        """Return the price that was handed in: each server has its own."""
        return self._prices.get(model)

    async def capabilities(self, model: str) -> Capabilities:
        """Return what was handed in, what the server said, and what it refused."""
        known = self._known.of(model)
        stated = self._able.get(model)
        return known if stated is None else stated.or_else(known)

    async def answer(self, request: CompletionRequest) -> AsyncGenerator[Event, None]:
        """Answer `request`, as `Provider.answer` says."""
        if request.model == DEFAULT_MODEL:
            request = replace(request, model=await self.default_model())
        reader = CompletionReader(
            self._who,
            model=request.model,
            secret=self._api_key,
            run_id=request.run_id,
            has_logprobs=bool(request.parameters.logprobs),
        )
        wording = known = self._wordings.get(request.model, USUAL)
        with translated_errors(self._who):
            while True:
                urls = await data_urls(request)
                post = self._client.send(
                    "POST",
                    "/chat/completions",
                    json=request_body(request, wording, urls),
                    keep_alive=self._keep_alive,
                )
                del urls  # an answer may take long
                async with post as response:
                    if not has_answer(response.status):
                        request, wording = await self._reworded(
                            request, response, wording, known
                        )
                        continue
                    if wording != known:
                        self._remember(request.model, wording)
                    if response.header("server") == "llama.cpp":
                        # It says keep-alive and closes: the next would be lost.
                        self._keep_alive = False
                    media_type = (response.header("content-type") or "").lower()
                    may_be_refused = "json" in media_type or "html" in media_type
                    if not may_be_refused:
                        yield Accepted()
                    stream = ChatStream(response, reader, self._who)
                    growth = await stream.next()
                    if may_be_refused:
                        yield Accepted(reader.finished().resolved_model)
                    while growth is not None:
                        yield growth
                        growth = await stream.next()
                    break
        yield reader.finished()

    async def embed(self, request: CompletionRequest) -> AsyncGenerator[Event, None]:
        """Make vectors, as `Embedder.embed` says."""
        if request.model == DEFAULT_MODEL:
            request = replace(request, model=await self.default_model())
        most = longest_answer(len(texts_of(request.messages[-1])))
        wording = known = self._wordings.get(request.model, USUAL)
        body: bytes | None = None
        with translated_errors(self._who):
            while body is None:
                post = self._client.send(
                    "POST",
                    "/embeddings",
                    json=embeddings_body(request, wording),
                    keep_alive=self._keep_alive,
                )
                async with post as response:
                    if not has_answer(response.status):
                        refused = await read_refusal(response)
                        reason = Reason.read(refused, self._api_key)
                        if not wording.takes_base64 or not is_about(
                            response.status, reason, "encoding_format"
                        ):
                            raise self._refusal(
                                response, refused, request.model, what="embeddings"
                            )
                        wording = wording._replace(takes_base64=False)
                        continue
                    if response.header("server") == "llama.cpp":
                        self._keep_alive = False
                    yield Accepted()
                    body = await read_body(response, most)
        if wording != known:
            self._remember(request.model, wording)
        async with self._reading:
            yield await asyncio.to_thread(
                read_embeddings, body, request, who=self._who, secret=self._api_key
            )

    async def warm_up(self) -> None:
        """Do nothing: connections are made when they are needed."""

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def _reworded(
        self,
        request: CompletionRequest,
        response: Response,
        wording: Wording,
        known: Wording,
    ) -> tuple[CompletionRequest, Wording]:
        """Return what may be sent instead of what was refused, or refuse."""
        body = await read_refusal(response)
        reason = Reason.read(body, self._api_key)
        name = wording.max_tokens_name or request.max_tokens_name or "max_tokens"
        if (
            wording.max_tokens_name == known.max_tokens_name
            and request.parameters.max_tokens is not None
            and refuses_name(response.status, reason, name)
        ):
            return request, wording._replace(max_tokens_name=_OTHER_NAME[name])
        if (
            wording.has_reasoning == known.has_reasoning
            and is_about(response.status, reason, "reasoning_content")
            and any(each.role == "assistant" for each in request.messages)
        ):
            has_reasoning = not wording.has_reasoning
            return request, wording._replace(has_reasoning=has_reasoning)
        if (
            wording.has_sealed == known.has_sealed
            and any(is_about(response.status, reason, name) for name in HANDED_BACK)
            and any(has_sealed(each.parts) for each in request.messages)
        ):
            return request, wording._replace(has_sealed=not wording.has_sealed)
        self._known.note_refusal(request, response.status, reason)
        error = self._refusal(response, body, request.model)
        shorter = None
        if isinstance(error, ContextLengthExceeded):
            shorter = shortened(request)
        if shorter is None:
            raise error
        return shorter, wording

    def _remember(self, model: str, wording: Wording) -> None:
        if len(self._wordings) >= _MOST_WORDINGS:
            self._wordings.clear()
        self._wordings[model] = wording

    def _refusal(
        self,
        response: Response,
        body: Any,
        model: str,
        *,
        what: str = "chat completions",
    ) -> LlamaKeepError:
        return refusal(
            response.status,
            Reason.read(body, self._api_key),
            who=self._who,
            model=model,
            what=what,
            retry_after=retry_after(
                response.header("retry-after"),
                body,
                milliseconds=response.header("retry-after-ms"),
            ),
            location=response.header("location"),
            names=self._setting_names,
            free=self._free,
        )

    @asynccontextmanager
    async def _get(self, path: str) -> AsyncIterator[Response]:
        with translated_errors(self._who):
            get = self._client.send(
                "GET", path, seconds=_MODEL_LIST_TIMEOUT, keep_alive=self._keep_alive
            )
            async with get as response:
                yield response

    async def _listed_models(self) -> Sequence[str]:
        async with self._get("/models") as response:
            if response.status != _OK:
                body = await read_refusal(response)
                error = self._refusal(response, body, "")
                if isinstance(error, ProviderError):
                    raise error
                raise ProviderError(error.detail)
            body = await read_body(response, _MAX_MODEL_LIST)
            is_llama_cpp = response.header("server") == "llama.cpp"
        try:
            listing = read_json(body)
            ids = listed_ids(listing)
        except ValueError as exc:
            raise ProviderAnswerInvalid(
                f"{self._who} did not list its models. Name one in the prompt's "
                f"`model`, or in {self._setting_names.models}."
            ) from exc
        self._known.note_list(listing)
        if is_llama_cpp and monotonic() >= self._ask_props_at:
            self._ask_props_at = monotonic() + _LEARNT_AGAIN
            with suppress(LlamaKeepError, ValueError):
                props = await fetch_props(
                    self._base_url, self._headers, who=self._who, most=_MAX_MODEL_LIST
                )
                if props is not None:
                    self._known.note_props(props)
        return ids


def has_answer(status: int) -> bool:
    """Return whether a response with this status has a body that is an answer."""
    return 200 <= status < 300 and status not in _EMPTY
