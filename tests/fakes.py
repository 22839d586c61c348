"""Fakes that tests hand in where the product expects the real thing."""

import asyncio
from array import array
from collections.abc import AsyncGenerator, Iterable, Sequence

from llamakeep.domain import Capabilities, Price, Usage
from llamakeep.domain.capabilities import UNKNOWN
from llamakeep.domain.embeddings import texts_of
from llamakeep.domain.runs import TOOL_PARAMETERS
from llamakeep.errors import LlamaKeepError
from llamakeep.providers.base import (
    Accepted,
    CompletionRequest,
    Event,
    Finished,
    ItemBegun,
    ItemText,
    Logprobs,
)

Line = str | ItemBegun | ItemText | Logprobs | BaseException | asyncio.Event
"""What to say, something to break off with, or what to wait for before going on."""


class ScriptedProvider:
    """
    A provider that says what it was told to say.

    Every answer plays the same script from its start; assign to `script` or `refusal`
    to change what the next answer does.

    Args:
        script: What an answer consists of, in order.
        refusal: Raised at once, before the prompt is accepted.
        finished: The last event.
        name: The part before the colon of a model's name.
        models: The models it serves, the first being its default.
        is_free: Whether an interrupted run may be run again.
        unsupported: The parameters it cannot honour.
        before_accepting: What to wait for before the prompt is accepted.
    """

    def __init__(
        self,
        script: Iterable[Line] = ("Hello", ", ", "world"),
        *,
        refusal: LlamaKeepError | None = None,
        finished: Finished = Finished("stop", Usage(input_tokens=7, output_tokens=3)),  # noqa: B008 - it is frozen
        name: str = "scripted",
        models: Sequence[str] = ("parrot",),
        is_free: bool = False,
        unsupported: frozenset[str] = frozenset(),
        before_accepting: asyncio.Event | None = None,
    ) -> None:
        self.script: Sequence[Line] = tuple(script)
        self.refusal = refusal
        self.finished = finished
        self.name = name
        self.known = tuple(models)
        self.is_free = is_free
        self.unsupported = unsupported
        self.before_accepting = before_accepting
        self.able: dict[str, Capabilities] = {}
        """By model: what it can do; else that is not known."""
        self.prices: dict[str, Price] = {}
        """By model; assign to it to give one a price."""
        self.requests: list[CompletionRequest] = []
        """What it was asked, in order."""
        self.open_answers = 0
        """How many answers were started and are neither exhausted nor closed."""
        self.closed_early = 0
        """How many answers were closed, or canceled, before their end."""
        self.is_closed = False

    async def default_model(self) -> str:
        return self.known[0]

    async def models(self) -> Sequence[str]:
        return self.known

    def serves(self, model: str) -> bool:
        return model in self.known

    def price(self, model: str) -> Price | None:
        return self.prices.get(model)

    async def capabilities(self, model: str) -> Capabilities:
        return self.able.get(model, UNKNOWN)

    async def answer(self, request: CompletionRequest) -> AsyncGenerator[Event, None]:
        # Another answer may begin, and be told otherwise, before this one says a word.
        script, refusal = self.script, self.refusal
        self.requests.append(request)
        self.open_answers += 1
        try:
            if self.before_accepting is not None:
                await self.before_accepting.wait()
            await asyncio.sleep(0)
            if refusal is not None:
                raise refusal
            yield Accepted(request.model)
            for line in script:
                await asyncio.sleep(0)
                if isinstance(line, str | ItemBegun | ItemText | Logprobs):
                    yield line
                elif isinstance(line, asyncio.Event):
                    await line.wait()
                else:
                    raise line
            yield self.finished
        except (GeneratorExit, asyncio.CancelledError):
            self.closed_early += 1
            raise
        finally:
            self.open_answers -= 1

    async def warm_up(self) -> None:
        pass

    async def close(self) -> None:
        self.is_closed = True


class CountingProvider(ScriptedProvider):
    """A provider that counts a token for each character."""

    async def count_tokens(self, request: CompletionRequest) -> int:
        self.requests.append(request)
        return sum(len(message.content) for message in request.messages)


class PromptingProvider(ScriptedProvider):
    """A provider whose models are told of tools and formats in the prompt."""

    def __init__(self) -> None:
        super().__init__(unsupported=TOOL_PARAMETERS | {"response_format"})

    async def capabilities(self, model: str) -> Capabilities:
        return Capabilities(tools=self.prompts_tools(model))

    def prompts_tools(self, model: str) -> bool:
        return model in self.known

    def prompts_format(self, model: str) -> bool:
        return model in self.known


class EmbeddingProvider(ScriptedProvider):
    """A provider whose vectors tell how long each text is."""

    embedding_options = frozenset({"dimensions"})

    async def embed(self, request: CompletionRequest) -> AsyncGenerator[Event, None]:
        self.requests.append(request)
        if self.before_accepting is not None:
            await self.before_accepting.wait()
        await asyncio.sleep(0)
        if self.refusal is not None:
            raise self.refusal
        yield Accepted(request.model)
        texts = texts_of(request.messages[-1])
        vectors = [array("f", [len(text), 0.125, -2.5]) for text in texts]
        yield Finished(usage=Usage(7, 0), vectors=vectors)
