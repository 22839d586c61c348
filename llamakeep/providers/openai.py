"""Any server that speaks OpenAI's chat completions: vLLM, Ollama, llama.cpp, Groq."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from pydantic_core import from_json

from llamakeep.domain import Price
from llamakeep.errors import LlamaKeepError, ProviderAnswerInvalid, ProviderError
from llamakeep.http import Client, Response
from llamakeep.providers.base import Accepted, CompletionRequest, Event
from llamakeep.providers.chat_completions import CompletionReader, request_body
from llamakeep.providers.chat_stream import ChatStream
from llamakeep.providers.http import (
    read_body,
    read_refusal,
    retry_after,
    translated_errors,
)
from llamakeep.providers.refusals import Reason, refusal

_OK = 200
_EMPTY = {204, 205}
_MAX_MODEL_LIST = 4 * 1024 * 1024
_MODEL_LIST_TIMEOUT = 10.0


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
        self._api_key = api_key
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
        reader = CompletionReader(self._who, model=request.model, secret=self._api_key)
        with translated_errors(self._who):
            post = self._client.send(
                "POST",
                "/chat/completions",
                json=request_body(request),
                keep_alive=self._keep_alive,
            )
            async with post as response:
                if not _has_answer(response.status):
                    raise await self._refusal(response, request.model)
                if response.header("server") == "llama.cpp":
                    # It says keep-alive and closes: the next prompt would be lost.
                    self._keep_alive = False
                media_type = (response.header("content-type") or "").lower()
                may_be_refused = "json" in media_type or "html" in media_type
                if not may_be_refused:
                    yield Accepted()
                stream = ChatStream(response, reader, self._who)
                text = await stream.next()
                if may_be_refused:
                    yield Accepted(reader.finished().resolved_model)
                while text is not None:
                    yield text
                    text = await stream.next()
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
            Reason.read(body, self._api_key),
            who=self._who,
            model=model,
            retry_after=retry_after(
                response.header("retry-after"),
                body,
                milliseconds=response.header("retry-after-ms"),
            ),
            location=response.header("location"),
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


def _has_answer(status: int) -> bool:
    return 200 <= status < 300 and status not in _EMPTY


def _listed_ids(listing: Any) -> Sequence[str]:
    match listing:
        case {"data": [{"id": str(first)}, *others]} if first:
            ids = (one.get("id") for one in others if isinstance(one, dict))
            return [first, *(one for one in ids if isinstance(one, str) and one)]
    raise ValueError
