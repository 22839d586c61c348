"""The embedded model: llama.cpp in a child process, without account or network."""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from llamakeep.domain import Capabilities, Parameters, Price
from llamakeep.domain.runs import TOOL_PARAMETERS
from llamakeep.errors import NoProvider, ProviderUnavailable, UnsupportedParameter
from llamakeep.providers.base import Accepted, CompletionRequest, Event
from llamakeep.providers.http import most_connections
from llamakeep.providers.local.grammar import LONGEST, unsupported_patterns
from llamakeep.providers.local.schemas import fault_of
from llamakeep.providers.local.supervisor import (
    Endpoint,
    LocalSupervisor,
    Supervisor,
)
from llamakeep.providers.local.text import PlainText
from llamakeep.providers.local.weights import (
    find_weights,
    has_engine,
    missing_weights,
    model_id,
)
from llamakeep.providers.openai.provider import OpenAIProvider
from llamakeep.providers.prompted.tools import (
    calls_read,
    functions_of,
    held_to,
    told,
)
from llamakeep.settings import Settings

HOW_TO_GET_ENGINE = (
    "Install llama.cpp with `pip install 'llamakeep[local]'`, or in a checkout with "
    "`pip install xllamacpp`."
)

_MOST_NAMED = 3
_MOST_OF_A_PATTERN = 200
_BY_CHANCE = 2**32 - 1
"""The largest number that llama.cpp takes for a seed, which means none."""

_Events = AsyncGenerator[Event, None]

FREE = Price(Decimal(0), Decimal(0))


class LocalProvider:
    """
    A model that runs on this computer.

    Its process starts with the first prompt, or with `warm_up`, and again when it died.
    An answer has at most `MAX_TOKENS` tokens unless the prompt says otherwise.
    """

    name = "local"
    is_free = True
    # llama.cpp ignores `min_tokens`.
    unsupported = TOOL_PARAMETERS | {
        "min_tokens",
        "reasoning_effort",
        "verbosity",
        "logit_bias",
        "service_tier",
        "extra_fields",
    }
    # It ignores `dimensions`, and clients' token ids are of other vocabularies.
    embedding_options: frozenset[str] = frozenset()

    def __init__(
        self, settings: Settings, supervisor: Supervisor | None = None
    ) -> None:
        self._settings = settings
        self._weights = find_weights(settings)
        self._has_engine = has_engine()
        self._supervisor = supervisor or LocalSupervisor(settings, self._weights)
        self._endpoint: Endpoint | None = None
        self._client: OpenAIProvider | None = None

    @property
    def pid(self) -> int | None:
        """The id of the model's process, if there is one."""
        return self._endpoint.pid if self._endpoint else None

    @property
    def is_running(self) -> bool:
        """Whether the model's process was started, and is not known to be gone."""
        if self._endpoint is None:
            return False
        try:
            os.kill(self._endpoint.pid, 0)  # no signal: only whether there is one
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # another user's, so there is one
        return True

    async def default_model(self) -> str:
        """Return the model's name."""
        return model_id(self._existing_weights())

    async def models(self) -> Sequence[str]:
        """Return the one model's name."""
        return [await self.default_model()]

    def serves(self, model: str) -> bool:
        """Return whether `model` is the embedded one."""
        return self._weights is not None and model == model_id(self._weights)

    def price(self, model: str) -> Price | None:  # noqa: ARG002 - the protocol's
        """Return that it costs nothing."""
        return FREE

    async def capabilities(self, model: str) -> Capabilities:  # noqa: ARG002 - one
        """Return what llama.cpp can do with any model, without a projector."""
        has_tools = self._settings.prompted_tools
        return Capabilities(
            tools=has_tools,
            parallel_tools=has_tools,
            images=False,
            json_schema=True,
            reasoning=False,
            logprobs=True,
            prefill=True,
            embeddings=True,
        )

    def prompts_tools(self, model: str) -> bool:  # noqa: ARG002 - there is one
        """Return whether the settings want tools described in the prompt."""
        return self._settings.prompted_tools

    def check_schemas(self, parameters: Parameters) -> None:
        """Refuse a schema that the model cannot be held to."""
        match parameters.response_format:
            case {"json_schema": {"schema": schema}}:
                has_tools = bool(functions_of(parameters))
                _check(schema, "", "response_format", is_part=has_tools)
        if held_to(parameters) is parameters.response_format:
            return  # calls are free
        for function in functions_of(parameters):
            of = f" of the tool {function['name']!a}"
            if (schema := function.get("parameters")) is not None:
                _check(schema, of, "tools", is_part=True)

    async def warm_up(self) -> None:
        """
        Load the weights before the first prompt needs them.

        Raises:
            NoProvider: Something is not installed.
            ProviderUnavailable: The weights cannot be loaded.
        """
        await self._running()

    def answer(self, request: CompletionRequest) -> AsyncGenerator[Event, None]:
        """Answer `request`, as `Provider.answer` says."""
        return self._asked(partial(self._answered, request))

    def embed(self, request: CompletionRequest) -> AsyncGenerator[Event, None]:
        """Make vectors, as `Embedder.embed` says."""

        async def begun(_: Endpoint, client: OpenAIProvider) -> _Events:
            return client.embed(request)

        return self._asked(begun)

    async def _asked(
        self, begin: Callable[[Endpoint, OpenAIProvider], Awaitable[_Events]]
    ) -> _Events:
        """Ask the model's process, and the next one if that died before it answered."""
        for is_last_try in (False, True):
            endpoint, client = await self._running()
            is_accepted = False
            try:
                async with aclosing(await begin(endpoint, client)) as events:
                    async for event in events:
                        is_accepted = is_accepted or isinstance(event, Accepted)
                        yield event
            except ProviderUnavailable:
                # Nothing was said and it costs nothing: the next process can answer.
                if is_accepted or is_last_try or not await self._has_died(endpoint):
                    raise
            else:
                return

    async def count_tokens(self, request: CompletionRequest) -> int:
        """Return how many tokens the model would read."""
        endpoint, _ = await self._running()
        async with self._text(endpoint) as text:
            return await text.count(told(request).messages)

    async def _answered(
        self, request: CompletionRequest, endpoint: Endpoint, client: OpenAIProvider
    ) -> _Events:
        asked = told(_seeded(request))
        async with self._text(endpoint) as text:
            messages = await text.messages(asked.messages)
        # llama.cpp does not know the newer name of the limit.
        asked = replace(
            asked,
            max_tokens_name=None,
            messages=messages,
            parameters=replace(
                asked.parameters, response_format=held_to(request.parameters)
            ),
        )
        answer = client.answer(asked)
        if request.parameters.prompted_tools:
            answer = calls_read(request, answer)
        return answer

    async def close(self) -> None:
        """End the model's process, within two seconds."""
        if self._client is not None:
            await self._client.close()
        await self._supervisor.close()
        self._client = self._endpoint = None

    async def _running(self) -> tuple[Endpoint, OpenAIProvider]:
        self._existing_weights()
        if not self._has_engine:
            raise NoProvider(f"Nothing was stored. {HOW_TO_GET_ENGINE}")
        endpoint = await self._supervisor.endpoint()
        if self._client is None or endpoint != self._endpoint:
            former, self._endpoint = self._client, endpoint
            self._client = OpenAIProvider(
                endpoint.base_url,
                api_key=endpoint.api_key,
                who="The embedded model",
                keep_alive=False,  # llama.cpp closes after each answer, unannounced
                connect_timeout=self._settings.connect_timeout,
                silence_timeout=self._settings.silence_timeout,
                most_connections=most_connections(self._settings),
            )
            if former is not None:
                await former.close()
        return endpoint, self._client

    @asynccontextmanager
    async def _text(self, endpoint: Endpoint) -> AsyncIterator[PlainText]:
        text = PlainText(
            endpoint.base_url,
            api_key=endpoint.api_key,
            connect_timeout=self._settings.connect_timeout,
            silence_timeout=self._settings.silence_timeout,
        )
        try:
            yield text
        finally:
            await text.close()

    async def _has_died(self, endpoint: Endpoint) -> bool:
        """Return whether the process there is gone, or just going."""
        return await self._supervisor.endpoint(instead_of=endpoint) != endpoint

    def _existing_weights(self) -> Path:
        if self._weights is None:
            raise missing_weights(self._settings)
        return self._weights


def _check(schema: Any, whose: str, parameter: str, *, is_part: bool) -> None:
    if (fault := fault_of(schema, is_part=is_part)) is not None:
        raise UnsupportedParameter(
            f"The embedded model cannot be held to the JSON schema{whose}, at "
            f"{fault!a}. Nothing was stored. Change that, leave the schema out, or "
            "choose another model.",
            parameters=[parameter],
        )
    found = list(islice(unsupported_patterns(schema), _MOST_NAMED))
    if found:
        named = ", ".join(repr(pattern[:_MOST_OF_A_PATTERN]) for pattern in found)
        raise UnsupportedParameter(
            f"The embedded model cannot be held to the pattern {named}{whose}. Nothing "
            "was stored. A pattern may have ASCII characters, classes such as [0-9], "
            "groups, alternatives and counts, between ^ and $, and be no longer than "
            f"{LONGEST} characters if the counts are written out; write it so, leave "
            "it out, or choose another model.",
            parameters=[parameter],
        )


def _seeded(request: CompletionRequest) -> CompletionRequest:
    """Return the request with a seed that fits llama.cpp's 32 bits."""
    seed = request.parameters.seed
    if seed is None or 0 <= seed < _BY_CHANCE:
        return request
    fitting = None if seed == -1 else seed % _BY_CHANCE
    return replace(request, parameters=replace(request.parameters, seed=fitting))
