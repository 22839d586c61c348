"""How the tests of providers set up, ask and wait."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from llamakeep.domain import Item, Message, Parameters
from llamakeep.providers.base import (
    Accepted,
    CompletionRequest,
    Finished,
    ItemBegun,
    ItemText,
    Logprobs,
    Provider,
)
from llamakeep.providers.openai.provider import OpenAIProvider
from llamakeep.settings import Settings
from tests.providers.stub_server import Line, StubServer, running_stub


def settings(**values: Any) -> Settings:
    """Settings that no `.env` of the developer's touches."""
    return Settings(**{"_env_file": None, **values})


def request(
    prompt: str = "Hi", *, model: str = "parrot", parameters: Parameters | None = None
) -> CompletionRequest:
    return CompletionRequest(
        run_id="run_1",
        attempt=1,
        model=model,
        messages=[Message("user", prompt)],
        parameters=parameters or Parameters(),
    )


@dataclass
class Answer:
    """What was said, also when it ended badly."""

    accepted: Accepted | None = None
    deltas: list[str] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    """Those that follow a text at the beginning."""
    finished: Finished | None = None
    logprobs: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.deltas)

    def add(self, event: str | ItemBegun | ItemText | Logprobs) -> None:
        if isinstance(event, ItemBegun):
            self.items.append(event.item)
            return
        if isinstance(event, Logprobs):
            self.logprobs.append(event.json)
            return
        text = event if isinstance(event, str) else event.text
        if isinstance(event, str):
            self.deltas.append(text)
        if self.items:
            last = self.items[-1]
            self.items[-1] = replace(last, text=last.text + text)


async def ask(
    provider: Provider,
    asked: CompletionRequest | None = None,
    *,
    into: Answer | None = None,
) -> Answer:
    answer = into if into is not None else Answer()
    async with aclosing(provider.answer(asked or request())) as events:
        async for event in events:
            assert answer.finished is None, "something came after the end"
            if isinstance(event, Accepted):
                assert answer.accepted is None, "it was accepted twice"
                answer.accepted = event
            elif isinstance(event, Finished):
                answer.finished = event
            else:
                assert answer.accepted is not None, "a delta came before Accepted"
                answer.add(event)
    return answer


@asynccontextmanager
async def asked(
    *script: Line, **options: Any
) -> AsyncIterator[tuple[StubServer, OpenAIProvider]]:
    """A provider that talks to a server which plays `script`."""
    async with running_stub(*script) as stub:
        provider = OpenAIProvider(stub.base_url, **options)
        yield stub, provider
        await provider.close()
