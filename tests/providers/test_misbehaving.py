"""Every way in which an OpenAI-compatible server may answer, and what is made of it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from llamakeep.domain import Usage
from llamakeep.errors import (
    ContentFiltered,
    ContextLengthExceeded,
    LlamaKeepError,
    ModelNotFound,
    PromptRejected,
    ProviderAnswerInvalid,
    ProviderError,
    ProviderRateLimited,
    ProviderUnauthenticated,
    ProviderUnavailable,
)
from llamakeep.providers.openai.chat_completions import CompletionReader
from llamakeep.providers.openai.chat_stream import ChatStream
from llamakeep.providers.openai.provider import OpenAIProvider
from tests.providers.asking import Answer, ask, request
from tests.providers.misbehaving import STOP, event, misbehaving, said, used, ways

OTHER_TEXTS = {
    "nul": ("a\ufffdb", "stop"),
    "pair cut": ("x\U0001f600y", "stop"),
    "pair whole": ("x\U0001f600y", "stop"),
    "half": ("x\ufffd y", "stop"),
    "half last": ("x\ufffd", "stop"),
    "half then text": ("x\ufffdy", "stop"),
    "half then end": ("x\ufffd", None),
    "bad utf-8": ("x\ufffd\ufffdy", "stop"),
    "raw controls": ("a\tb\ufffdc", "stop"),
    "cut utf-8": ("onex\ufffdy", "stop"),
    "nan": ("x", "stop"),
    "refusal": ("I cannot", "stop"),
    "reasoning only": ("", "length"),
    "tool": ("", None),
    "empty": ("", "stop"),
    "no finish": ("Hello", None),
    "finish long": ("He", "x" * 64),
    "filter": ("He", "content_filter"),
    "eos": ("He", "eos"),
}
"""The text and the finish reason of what does not say `Hello world`."""

FAILURES: dict[str, tuple[type[LlamaKeepError], str, str]] = {
    "choices from one, cut": (ProviderUnavailable, "Hello", "broke off"),
    "many values": (ProviderAnswerInvalid, "", "too many values"),
    "ollama": (ProviderAnswerInvalid, "", "http://127.0.0.1:11434/v1"),
    "ollama whole": (ProviderAnswerInvalid, "", "http://127.0.0.1:11434/v1"),
    "anthropic": (ProviderAnswerInvalid, "", "Anthropic's Messages API"),
    "gemini": (ProviderAnswerInvalid, "", "v1beta/openai"),
    "responses": (ProviderAnswerInvalid, "", "OpenAI's Responses API"),
    "llama.cpp": (ProviderAnswerInvalid, "", "LLAMAKEEP_OPENAI_BASE_URL"),
    "tgi": (ProviderAnswerInvalid, "", "LLAMAKEEP_OPENAI_BASE_URL"),
    "cut off": (ProviderUnavailable, "Hello", "broke off"),
    "cut in a name": (ProviderUnavailable, "Hello", "broke off its answer."),
    "prose later": (ProviderUnavailable, "Hello", "broke off its answer: Internal"),
    "cut in an event": (ProviderUnavailable, "Hello", "broke off"),
    "abort": (ProviderUnavailable, "Hello", "broke off"),
    "abort at once": (ProviderUnavailable, "", "broke off"),
    "nothing": (ProviderUnavailable, "", "broke off"),
    "only done": (ProviderAnswerInvalid, "", "no choices"),
    "only pings": (ProviderUnavailable, "", "broke off"),
    "prose": (ProviderAnswerInvalid, "", "upstream connect error"),
    "page": (ProviderAnswerInvalid, "", "a page"),
    "gzip": (ProviderAnswerInvalid, "", "compressed with 'gzip'"),
    "gzip unsaid": (ProviderAnswerInvalid, "", "compressed with 'gzip'"),
    "finish error": (ProviderError, "He", "did not say why"),
    "error event": (ProviderError, "He", "on fire"),
    "error with choices": (ProviderError, "He", "on fire"),
    "error named": (ProviderError, "He", "on fire"),
    "error named text": (ProviderError, "He", "on fire"),
    "error named last": (ProviderError, "He", "on fire"),
    "error line": (ProviderError, "He", "on fire"),
    "error raw": (ProviderError, "", "on fire"),
    "error raw later": (ProviderError, "He", "on fire"),
    "error object": (ProviderError, "", "on fire"),
    "error list": (ProviderError, "", "on fire"),
    "error lines": (ProviderError, "Hello", "on fire"),
    "error ok": (ProviderUnavailable, "", "on fire"),
    "error detail ok": (ProviderAnswerInvalid, "", "on fire"),
    "error first": (ProviderRateLimited, "", "slow down"),
    "error string": (ProviderError, "", "failed (500): on fire"),
    "error bom": (ProviderError, "", "failed (500): on fire"),
    "error binary": (ProviderError, "", "failed (500)."),
    "error nested": (ProviderError, "", "failed (500): on fire"),
    "error fields": (PromptRejected, "", "body.top_k: Not permitted"),
    "error text": (ProviderError, "", "failed (500): on fire"),
    "error cut": (ProviderError, "", "failed (500): on fire"),
    "error html": (ProviderUnavailable, "", "is not available (502)."),
    "error empty": (ProviderError, "", "failed (500)."),
    "overloaded": (ProviderUnavailable, "", "model overloaded"),
    "forbidden": (ProviderUnauthenticated, "", "on fire"),
    "secret": (ProviderError, "", "key […], […]"),
    "context": (ContextLengthExceeded, "", "8192 tokens"),
    "context 500": (ContextLengthExceeded, "", "context size"),
    "context of vllm": (ContextLengthExceeded, "", "10 tokens"),
    "context in a stream": (ContextLengthExceeded, "", "?"),
    "filtered": (ContentFiltered, "", "no"),
    "filtered inside": (ContentFiltered, "", "no"),
    "rejected": (PromptRejected, "", "no"),
    "no model": (ModelNotFound, "", "'no model'"),
    "no model of ollama": (ModelNotFound, "", "not found"),
    "no model of litellm": (ModelNotFound, "", "Invalid model"),
    "no model of openrouter": (ModelNotFound, "", "not a valid model"),
    "limited": (ProviderRateLimited, "", "slow down"),
    "limited date": (ProviderRateLimited, "", "slow down"),
    "limited ms": (ProviderRateLimited, "", "slow down"),
    "limited words": (ProviderRateLimited, "", "1m2.5s"),
    "limited bad": (ProviderRateLimited, "", "slow down"),
    "limited negative": (ProviderRateLimited, "", "slow down"),
    "limited huge": (ProviderRateLimited, "", "slow down"),
    "limited far": (ProviderRateLimited, "", "slow down"),
    "limited digits": (ProviderRateLimited, "", "slow down"),
    "unavailable": (ProviderUnavailable, "", "slow down"),
    "unavailable far": (ProviderUnavailable, "", "slow down"),
    "redirect": (ProviderError, "", "points to https://[…]elsewhere/v1."),
    "204": (ProviderError, "", "answered with nothing (204)"),
}
"""What is raised, the text before it, and what its detail says."""

PAUSES = {
    "limited": 7,
    "limited ms": 1.5,
    "limited words": 62.5,
    "unavailable": 7,
}


@pytest.fixture
async def provider() -> AsyncIterator[OpenAIProvider]:
    async with misbehaving() as base_url:
        provider = OpenAIProvider(base_url, api_key="s3cr3t-key")
        yield provider
        await provider.close()


@pytest.mark.parametrize(
    "name", sorted(ways().keys() - OTHER_TEXTS.keys() - FAILURES.keys())
)
async def test_what_cannot_change_the_meaning_changes_nothing(
    provider: OpenAIProvider, name: str
) -> None:
    answer = await ask(provider, request(model=name))

    assert answer.text == "Hello world"
    assert answer.finished is not None
    assert answer.finished.usage == Usage(5, 7)
    expected = {"finish number": "1", "only done event": None}.get(name, "stop")
    assert answer.finished.finish_reason == expected


@pytest.mark.parametrize("name", OTHER_TEXTS)
async def test_what_was_said_is_the_text(provider: OpenAIProvider, name: str) -> None:
    answer = await ask(provider, request(model=name))

    assert answer.finished is not None
    assert (answer.text, answer.finished.finish_reason) == OTHER_TEXTS[name]


@pytest.mark.parametrize("name", FAILURES)
async def test_a_failure_has_the_servers_own_reason(
    provider: OpenAIProvider, name: str
) -> None:
    kind, text, detail = FAILURES[name]
    answer = Answer()

    with pytest.raises(kind) as caught:
        await ask(provider, request(model=name), into=answer)

    assert type(caught.value) is kind
    assert detail in caught.value.detail
    assert "s3cr3t" not in caught.value.detail
    assert len(caught.value.detail) < 500
    assert (answer.text, answer.finished) == (text, None)
    if name == "limited date":
        assert caught.value.retry_after == pytest.approx(30, abs=5)
    else:
        assert caught.value.retry_after == PAUSES.get(name)


@pytest.mark.parametrize(
    ("name", "param", "code"),
    [
        ("rejected", "temperature", "unsupported_value"),
        ("context", "messages", None),
        ("filtered", "prompt", None),
        ("error fields", None, None),
    ],
)
async def test_the_parameter_at_fault_and_the_servers_word_are_kept(
    provider: OpenAIProvider, name: str, param: str | None, code: str | None
) -> None:
    with pytest.raises(PromptRejected) as caught:
        await ask(provider, request(model=name))

    assert (caught.value.param, caught.value.provider_code) == (param, code)


@pytest.mark.parametrize("tokens", [2**31, 1e12, "2147483649", -1])
async def test_tokens_that_no_column_can_have_are_not_counted(tokens: object) -> None:
    reader = CompletionReader("It")
    reader.read_value({"choices": [], **used(tokens, 2**31 - 1)})

    assert reader.finished().usage == Usage(None, 2**31 - 1)


async def test_others_have_their_turn_while_small_events_are_read() -> None:
    response = Buffered(b": keep\n\nevent: ping\n\n" * 10_000)
    stream = ChatStream(response, CompletionReader("It"), "It")  # type: ignore[arg-type]
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    with pytest.raises(ProviderUnavailable):
        await stream.next()
    counting.cancel()

    assert turns >= 10


@pytest.mark.parametrize("rest", [b"", event(used(5, 7)), b": keep\n\n"])
async def test_an_answer_that_the_server_leaves_open_ends_with_its_finish_reason(
    rest: bytes,
) -> None:
    response = LeftOpen(said("Hello") + STOP, rest)
    reader = CompletionReader("It")
    stream = ChatStream(response, reader, "It", rest_timeout=0.05)  # type: ignore[arg-type]

    async with asyncio.timeout(10):
        assert [await stream.next(), await stream.next()] == ["Hello", None]

    assert reader.finished().finish_reason == "stop"
    assert reader.finished().usage == (Usage(5, 7) if b"usage" in rest else Usage())


class LeftOpen:
    """A response whose body is repeated, or does not end."""

    def __init__(self, body: bytes, rest: bytes) -> None:
        self._body = body
        self._rest = rest

    async def read(self) -> bytes | None:
        if self._body:
            data, self._body = self._body, b""
            return data
        await (asyncio.sleep(0.001) if self._rest else asyncio.Event().wait())
        return self._rest

    def header(self, name: str) -> str | None:
        del name
        return None


class Buffered:
    """A response whose body was received at once."""

    def __init__(self, body: bytes) -> None:
        self._pieces: list[bytes | None] = [None, body]

    async def read(self) -> bytes | None:
        return self._pieces.pop()

    def header(self, name: str) -> str | None:
        del name
        return None
